/* SPDX-License-Identifier: MIT */
/*
 * oracle.c - executes scenarios of memory-management calls on the running kernel
 * and reports what it answered.  Freestanding (no libc), x86-64 Linux only.
 *
 * Usage
 *   oracle SCRIPT            an ordinary process: results go to standard output;
 *                            no setting of the machine is changed.
 *   (as process 1)           the guest's init: mounts proc, sysfs and devtmpfs,
 *                            reads /script, applies its guest-only lines, writes
 *                            results to /dev/ttyS1 and powers the machine off.
 *
 * Script: lines of text, each a letter and its arguments, single spaces between.
 * Numbers are hexadecimal without 0x, with an optional leading '-'; a leading 'b'
 * means "relative to brk+0" (see below).
 *   L ms                       limit on the time of one scenario (default 20 s)
 *   M n                        guest only: vm.max_map_count := n
 *   Z mib                      guest only: swap on a zram disk of that size
 *   G n                        guest only: vm.nr_hugepages := n
 *   S id                       begins scenario `id`; its steps follow:
 *   m addr len prot flags fd off      mmap         u addr len            munmap
 *   p addr len prot                   mprotect     k addr len prot pkey  pkey_mprotect
 *   r addr old new flags new_addr     mremap       a addr len behavior   madvise
 *   s addr len flags                  mseal        b addr                brk
 *   l addr len                        mlock        n addr len            munlock
 *   A flags rights                    pkey_alloc   D pkey                pkey_free
 *   P bits    the thread writes PKRU
 *   w addr byte  a program's store of one byte
 *   f free    one-page mappings are made (or unmade) far from the window until the
 *             map count is `free` below its limit
 *   v addr    the vdso, which refuses to be split, is moved to a free place; the
 *             result is its length in pages
 *   o fd pages [bytes]  a new memfd of that many pages as `fd`, and opened read-only as
 *             `fd` + 1; `bytes` are the first bytes of its pages, two digits each
 *   R addr    the kernel takes the page back if it may drop it: MADV_PAGEOUT, or in a
 *             guest that refuses this, memory is made scarce
 *   X limits  (no answer) in the next call RLIMIT_AS (bit 0) or RLIMIT_MEMLOCK (bit 1)
 *             has no room
 *   F         fork: the rest happens in the child
 *
 * Results: lines of text, fields separated by tabs.
 *   H  release  has_pku  max_map_count  has_mseal  has_swap      once, first
 *   S  id                                                       per scenario, then per step
 *   ret  errno  vmas  bytes      vmas joined by ';', '-' for none; bytes '-' for none;
 *                                either is '=' where it repeats the step before
 *   E  ok | signal N | timeout | exit N | overflow              per scenario
 *   Q  count                                                    once, last
 *
 * Each scenario runs in a freshly forked child.  The window is 48 pages at
 * 0x200000000000; vmas and bytes are those of the README of the recorded runs.
 * brk+0 is a page boundary above the initial program break with a hole below it,
 * so that the first growth never touches a mapping of this program.
 * Object 100 is a memfd of 48 pages, page i beginning with byte 0x40+i; object 101
 * is the same memfd opened read-only; 102 is /dev/zero.  They are opened anew for each
 * scenario, which runs without CAP_SYS_ADMIN and CAP_SYS_RAWIO whoever started it.
 *
 * A child makes no mapping of its own while it runs: every buffer is static or in a
 * shared mapping made by the parent before it forked.  The program is linked above
 * the window, and filling happens above the program, so that reading smaps from the
 * bottom reaches the window first and may stop behind it.
 *
 * Where the map limit is high, filling takes longer than all else.  Scenarios that fill
 * are then children of a nursery: a child of this process that is filled already.
 */
#include <asm/unistd.h>
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/reboot.h>
#include <linux/sched.h>
#include <linux/stat.h>
#include <stddef.h>
#include <stdint.h>

#ifndef __NR_mseal
#define __NR_mseal 462
#endif

#define PAGE 4096UL
#define WINDOW 0x200000000000UL
#define PAGES 48UL
#define WINDOW_END (WINDOW + PAGES * PAGE)
#define FILL 0x600000000000UL
#define BRK_SHOWN 256UL /* pages from brk+0 whose VMAs are reported */
#define OBJECT 100
#define OBJECT_RO 101
#define OBJECT_ZERO 102
#define OUT_SIZE (1UL << 20)
#define VMAS_SIZE 16384
#define FD_SMAPS 200
#define FD_MEM 201
#define FD_OUT 202
#define NURSERY_ROOM 256UL /* maps below the limit that the nursery leaves to a scenario */

typedef unsigned long word;

struct shared {
	volatile uint32_t used;     /* bytes of text written by the child */
	volatile uint32_t overflow; /* the text did not fit */
	char text[OUT_SIZE];
};

struct timespec64 {
	int64_t sec;
	int64_t nsec;
};

static struct shared *shared;
static const char *script, *script_end;
static word brk0;
static word limit_ms = 20000;
static word max_map_count;
static int has_pku;
static int in_guest;
static int uses_brk;
static int unprivileged; /* neither CAP_SYS_ADMIN nor CAP_SYS_RAWIO */
static word limits;     /* what runs out in the next call: see X */
static word fill_count; /* fill mappings that exist, at FILL + 2 * i pages */

static char vmas_now[VMAS_SIZE], vmas_last[VMAS_SIZE];
static char bytes_now[2 * PAGES + 1], bytes_last[2 * PAGES + 1];
static char chunk[8192];

/* ---- calls ------------------------------------------------------------ */

static inline long sys6(long nr, word a, word b, word c, word d, word e, word f)
{
	register word r10 __asm__("r10") = d;
	register word r8 __asm__("r8") = e;
	register word r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#define SYS(nr, a, b, c, d, e) sys6((nr), (word)(a), (word)(b), (word)(c), (word)(d), (word)(e), 0)
#define SYS3(nr, a, b, c) SYS(nr, a, b, c, 0, 0)

static int failed(long ret)
{
	return (word)ret >= (word)-4095L;
}

/* gcc may emit calls to these two in a freestanding program. */
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);

void *memcpy(void *to, const void *from, size_t n)
{
	void *ret = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	return ret;
}

void *memset(void *to, int value, size_t n)
{
	void *ret = to;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory");
	return ret;
}

/* ---- text ------------------------------------------------------------- */

static size_t length(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

static int equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static char *put(char *to, const char *s)
{
	while (*s)
		*to++ = *s++;
	*to = 0;
	return to;
}

static char *put_decimal(char *to, long value)
{
	char digits[24];
	int n = 0;
	word v = value < 0 ? -(word)value : (word)value;

	if (value < 0)
		*to++ = '-';
	do
		digits[n++] = (char)('0' + v % 10);
	while (v /= 10);
	while (n)
		*to++ = digits[--n];
	*to = 0;
	return to;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* Reads a hexadecimal number without sign; moves *at behind it. */
static word read_hex(const char **at)
{
	word v = 0;

	while (hex_digit(**at) >= 0)
		v = v * 16 + (word)hex_digit(*(*at)++);
	return v;
}

struct argument {
	word value;
	int of_brk;
};

/* Reads " [b][-]HEX"; an argument that is not there is 0. */
static struct argument read_argument(const char **at)
{
	struct argument a = {0, 0};
	int minus = 0;

	if (**at != ' ')
		return a;
	++*at;
	if (**at == 'b')
		a.of_brk = 1, ++*at;
	if (**at == '-')
		minus = 1, ++*at;
	/* 'b' as a hexadecimal digit never begins a number: Python pads it with 0. */
	a.value = read_hex(at);
	if (minus)
		a.value = -a.value;
	if (a.of_brk)
		a.value += brk0;
	return a;
}

static void write_all(int fd, const char *text, size_t n)
{
	while (n) {
		long did = SYS3(__NR_write, fd, text, n);

		if (did == -EINTR || did == -EAGAIN)
			continue;
		if (failed(did) || did == 0)
			SYS3(__NR_exit_group, 3, 0, 0);
		text += did;
		n -= (size_t)did;
	}
}

/* ---- the window's state ------------------------------------------------ */

static const char shown_flags[] = "sl lo dc wf gd dd mg nh hg ";

struct vma {
	word first, end, offset;
	char perms[5];
	int file, wanted, brk;
	unsigned flags; /* bit i: the flag at 3 * i of shown_flags */
	word key;
};

static char *show_vma(char *to, const struct vma *v)
{
	word base = v->brk ? brk0 : WINDOW;

	if (v->brk)
		to = put(to, "brk");
	to = put_decimal(to, ((long)v->first - (long)base) / (long)PAGE);
	*to++ = '-';
	to = put_decimal(to, ((long)v->end - (long)base) / (long)PAGE);
	*to++ = ' ';
	to = put(to, v->perms);
	if (v->file) {
		to = put(to, " file@");
		to = put_decimal(to, (long)(v->offset / PAGE));
	} else {
		to = put(to, " anon");
	}
	if (v->key) {
		to = put(to, " k");
		to = put_decimal(to, (long)v->key);
	}
	for (unsigned i = 0; shown_flags[3 * i]; i++) {
		if (v->flags & (1u << i)) {
			*to++ = ' ';
			*to++ = shown_flags[3 * i];
			*to++ = shown_flags[3 * i + 1];
		}
	}
	*to = 0;
	return to;
}

/* Takes one line of smaps; returns 0 when nothing that follows is of interest. */
static int take_line(struct vma *v, const char *line)
{
	if (hex_digit(line[0]) >= 0) {
		/* start-end perms offset dev inode [path] */
		const char *at = line;
		word inode = 0;

		v->wanted = 0;
		v->first = read_hex(&at);
		at++;
		v->end = read_hex(&at);
		at++;
		for (int i = 0; i < 4; i++)
			v->perms[i] = *at++;
		v->perms[4] = 0;
		at++;
		v->offset = read_hex(&at);
		while (*at == ' ')
			at++;
		while (*at && *at != ' ')
			at++;
		while (*at == ' ')
			at++;
		while (*at >= '0' && *at <= '9')
			inode = inode * 10 + (word)(*at++ - '0');
		v->file = inode != 0;
		v->key = 0;
		v->flags = 0;
		v->brk = v->first >= brk0 && v->first < brk0 + BRK_SHOWN * PAGE;
		v->wanted = v->brk || (v->first < WINDOW_END && v->end > WINDOW);
		if (v->first >= WINDOW_END && (!uses_brk || v->first >= brk0 + BRK_SHOWN * PAGE))
			return 0;
		return 1;
	}
	if (v->wanted && line[0] == 'P' && line[1] == 'r' && line[2] == 'o') { /* ProtectionKey: */
		for (const char *at = line; *at; at++)
			if (*at >= '0' && *at <= '9')
				v->key = v->key * 10 + (word)(*at - '0');
	}
	if (v->wanted && line[0] == 'V' && line[1] == 'm') { /* VmFlags: rd wr ... */
		for (const char *at = line + 8; at[0] && at[1]; at++) {
			if (at[-1] != ' ')
				continue;
			for (unsigned i = 0; shown_flags[3 * i]; i++)
				if (at[0] == shown_flags[3 * i] && at[1] == shown_flags[3 * i + 1])
					v->flags |= 1u << i;
		}
		return 2;
	}
	return 1;
}

static uint8_t mapped[PAGES];

/* Reads smaps into vmas_now and mapped; lines of the heap come first. */
static void read_vmas(void)
{
	static char heap[VMAS_SIZE / 2], window[VMAS_SIZE / 2];
	static char line[1024];
	char *heap_at = heap, *window_at = window;
	size_t used = 0;
	struct vma v = {0};
	int more = 1;

	heap[0] = window[0] = 0;
	memset(mapped, 0, sizeof(mapped));
	SYS3(__NR_lseek, FD_SMAPS, 0, 0);
	while (more) {
		long n = SYS3(__NR_read, FD_SMAPS, chunk, sizeof(chunk));

		if (failed(n) || n == 0)
			break;
		for (long i = 0; i < n && more; i++) {
			int what;

			if (chunk[i] != '\n') {
				if (used < sizeof(line) - 1)
					line[used++] = chunk[i];
				continue;
			}
			line[used] = 0;
			used = 0;
			what = take_line(&v, line);
			more = what != 0;
			if (what != 2)
				continue;
			if (v.brk) {
				if (heap_at != heap)
					*heap_at++ = ';';
				if (heap_at - heap < (long)sizeof(heap) - 128)
					heap_at = show_vma(heap_at, &v);
			} else {
				if (window_at != window)
					*window_at++ = ';';
				if (window_at - window < (long)sizeof(window) - 128)
					window_at = show_vma(window_at, &v);
				for (word p = 0; p < PAGES; p++)
					if (WINDOW + p * PAGE >= v.first && WINDOW + p * PAGE < v.end)
						mapped[p] = 1;
			}
			v.wanted = 0;
		}
	}
	window_at = put(vmas_now, heap);
	if (heap[0] && window[0])
		*window_at++ = ';';
	put(window_at, window);
	if (!vmas_now[0])
		put(vmas_now, "-");
}

static void read_bytes(void)
{
	static const char digits[] = "0123456789abcdef";
	char *at = bytes_now;
	word last = 0;

	for (word p = 0; p < PAGES; p++)
		if (mapped[p])
			last = p + 1;
	for (word p = 0; p < last; p++) {
		uint8_t byte;

		if (!mapped[p]) {
			*at++ = '.';
			*at++ = '.';
		} else if (SYS(__NR_pread64, FD_MEM, &byte, 1, WINDOW + p * PAGE, 0) == 1) {
			*at++ = digits[byte >> 4];
			*at++ = digits[byte & 15];
		} else {
			*at++ = '?';
			*at++ = '?';
		}
	}
	*at = 0;
	if (!last)
		put(bytes_now, "-");
}

static void open_own_files(void)
{
	static const char smaps[] = "/proc/self/smaps", mem[] = "/proc/self/mem";
	long fd = SYS3(__NR_openat, AT_FDCWD, smaps, O_RDONLY);

	if (failed(fd))
		SYS3(__NR_exit_group, 4, 0, 0);
	SYS3(__NR_dup2, fd, FD_SMAPS, 0);
	SYS3(__NR_close, fd, 0, 0);
	fd = SYS3(__NR_openat, AT_FDCWD, mem, O_RDONLY);
	if (failed(fd))
		SYS3(__NR_exit_group, 5, 0, 0);
	SYS3(__NR_dup2, fd, FD_MEM, 0);
	SYS3(__NR_close, fd, 0, 0);
}

static void make_objects(void)
{
	char path[32];
	long fd = SYS3(__NR_memfd_create, "object", 0, 0);
	long ro;

	if (failed(fd) || SYS3(__NR_ftruncate, fd, PAGES * PAGE, 0))
		SYS3(__NR_exit_group, 6, 0, 0);
	for (word p = 0; p < PAGES; p++) {
		uint8_t byte = (uint8_t)(0x40 + p);

		if (SYS(__NR_pwrite64, fd, &byte, 1, p * PAGE, 0) != 1)
			SYS3(__NR_exit_group, 7, 0, 0);
	}
	put_decimal(put(path, "/proc/self/fd/"), fd);
	ro = SYS3(__NR_openat, AT_FDCWD, path, O_RDONLY);
	if (failed(ro))
		SYS3(__NR_exit_group, 8, 0, 0);
	SYS3(__NR_dup2, fd, OBJECT, 0);
	SYS3(__NR_dup2, ro, OBJECT_RO, 0);
	SYS3(__NR_close, fd, 0, 0);
	SYS3(__NR_close, ro, 0, 0);
	fd = SYS3(__NR_openat, AT_FDCWD, "/dev/zero", O_RDWR);
	if (failed(fd))
		SYS3(__NR_exit_group, 9, 0, 0);
	SYS3(__NR_dup2, fd, OBJECT_ZERO, 0);
	SYS3(__NR_close, fd, 0, 0);
}

/* A file of a scenario's own: what `o` asks for. */
static long make_file(word number, word pages, const char *bytes)
{
	char path[32];
	long fd, ro;

	if (number < 110 || number > 198 || number % 2)
		return -EBADF;
	fd = SYS3(__NR_memfd_create, "file", 0, 0);
	if (failed(fd))
		return fd;
	ro = SYS3(__NR_ftruncate, fd, pages * PAGE, 0);
	if (failed(ro))
		return ro;
	for (word p = 0; hex_digit(bytes[0]) >= 0 && hex_digit(bytes[1]) >= 0; p++, bytes += 2) {
		uint8_t byte = (uint8_t)(hex_digit(bytes[0]) * 16 + hex_digit(bytes[1]));

		if (SYS(__NR_pwrite64, fd, &byte, 1, p * PAGE, 0) != 1)
			return -EIO;
	}
	put_decimal(put(path, "/proc/self/fd/"), fd);
	ro = SYS3(__NR_openat, AT_FDCWD, path, O_RDONLY);
	if (failed(ro))
		return ro;
	SYS3(__NR_dup2, fd, number, 0);
	SYS3(__NR_dup2, ro, number + 1, 0);
	SYS3(__NR_close, fd, 0, 0);
	SYS3(__NR_close, ro, 0, 0);
	return 0;
}

/* What the specification assumes of the caller (UNPRIVILEGED). */
static void drop_privileges(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];
	const uint32_t dropped = (1U << CAP_SYS_ADMIN) | (1U << CAP_SYS_RAWIO);

	if (SYS3(__NR_capget, &header, data, 0))
		return;
	data[0].effective &= ~dropped;
	data[0].permitted &= ~dropped;
	unprivileged = SYS3(__NR_capset, &header, data, 0) == 0;
}

/* ---- steps ------------------------------------------------------------- */

extern const char store_instruction[] __attribute__((visibility("hidden"))), store_fault[] __attribute__((visibility("hidden")));

/*
 * Stores a byte as a program would: 0, or -EFAULT where a signal came instead.
 * The handler moves the program counter, so that the return from the signal
 * restores PKRU and the signal mask.
 */
static __attribute__((noinline)) long store(word addr, word byte)
{
	long ret;

	__asm__ volatile("xor %k0, %k0\n"
			 ".globl store_instruction, store_fault\n"
			 "store_instruction: movb %b2, (%1)\n"
			 "jmp 1f\n"
			 "store_fault: mov %3, %0\n"
			 "1:\n"
			 : "=&r"(ret)
			 : "r"(addr), "q"(byte), "i"(-EFAULT)
			 : "memory");
	return ret;
}

struct kernel_sigaction {
	void (*handler)(int, void *, void *);
	word flags;
	void (*restorer)(void);
	word mask;
};

#define SIGINT 2
#define SIGKILL 9
#define SIGBUS 7
#define SIGSEGV 11
#define SIGTERM 15
#define SIGCHLD 17
#define SA_SIGINFO 4UL
#define SA_NODEFER 0x40000000UL
#define SA_RESTORER 0x04000000UL
#define CONTEXT_RIP 168 /* offset of rip in struct ucontext of x86-64 */

void restore_rt(void) __attribute__((visibility("hidden")));
__asm__(".globl restore_rt\nrestore_rt: mov $15, %eax\nsyscall\n");

static void set_handler(int signal, void (*handler)(int, void *, void *))
{
	struct kernel_sigaction sa = {handler, SA_SIGINFO | SA_NODEFER | SA_RESTORER, restore_rt, 0};

	SYS(__NR_rt_sigaction, signal, &sa, 0, 8, 0);
}

static void on_fault(int signal, void *info, void *context)
{
	word *rip = (word *)((char *)context + CONTEXT_RIP);

	(void)info;
	if (*rip == (word)store_instruction)
		*rip = (word)store_fault;
	else
		set_handler(signal, 0); /* the fault comes again and kills */
}

#define PROCMAP_QUERY_CALL 0xc0686611UL /* _IOWR('f', 17, struct procmap_query): Linux 6.11 */
#define COVERING_OR_NEXT 0x10

struct procmap_query_part { /* the part of it that is used here */
	uint64_t size, query_flags, query_addr, vma_start, vma_end;
	uint64_t rest[8];
};

/* VMAs above the fill mappings, -1 where the kernel has no such query. */
static long count_above(long fd, word address)
{
	struct procmap_query_part query;
	long count = 0;

	for (;;) {
		long ret;

		memset(&query, 0, sizeof(query));
		query.size = sizeof(query);
		query.query_flags = COVERING_OR_NEXT;
		query.query_addr = address;
		ret = SYS3(__NR_ioctl, fd, PROCMAP_QUERY_CALL, &query);
		if (ret == -ENOENT)
			return count;
		if (failed(ret))
			return -1;
		count++;
		address = query.vma_end;
	}
}

/*
 * Lines of /proc/self/maps but [vsyscall]: the process's map count.  Many fill mappings
 * are not read one by one: they are known, and what is above them is asked for.
 */
static word count_maps(void)
{
	long fd = SYS3(__NR_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY);
	word lines = 0, address = 0, above_fill = FILL + 2 * fill_count * PAGE;
	long above = -1;
	int vsyscall = 0, in_address = 1;
	char before = 0;

	if (failed(fd))
		return 0;
	if (fill_count > 2 * NURSERY_ROOM)
		above = count_above(fd, above_fill);
	for (;;) {
		long n = SYS3(__NR_read, fd, chunk, sizeof(chunk));

		if (failed(n) || n == 0)
			break;
		for (long i = 0; i < n; i++) {
			if (in_address && hex_digit(chunk[i]) >= 0) {
				address = address * 16 + (word)hex_digit(chunk[i]);
			} else if (in_address) {
				in_address = 0;
				if (above >= 0 && address >= FILL) {
					SYS3(__NR_close, fd, 0, 0);
					return lines + fill_count + (word)above;
				}
			}
			if (chunk[i] == '\n')
				lines++, in_address = 1, address = 0;
			/* "[vs" begins only [vsyscall] */
			if (before == '[' && chunk[i] == 'v' && i + 1 < n && chunk[i + 1] == 's')
				vsyscall = 1;
			before = chunk[i];
		}
	}
	SYS3(__NR_close, fd, 0, 0);
	return lines - (word)vsyscall;
}

static long fill(word free)
{
	word count = count_maps();

	if (!max_map_count || !count)
		return -ENOSYS;
	while (count + free < max_map_count) {
		long ret = sys6(__NR_mmap, FILL + 2 * fill_count * PAGE, PAGE, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, (word)-1L, 0);

		if (failed(ret))
			return ret;
		fill_count++;
		count++;
	}
	while (count + free > max_map_count && fill_count) {
		fill_count--;
		count--;
		SYS3(__NR_munmap, FILL + 2 * fill_count * PAGE, PAGE, 0);
	}
	return count + free == max_map_count ? 0 : -ENOMEM;
}

/* Moves the vdso to a free place; the result is its length in pages. */
static long move_vdso(word addr)
{
	static char line[256];
	long fd = SYS3(__NR_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY);
	size_t used = 0;
	word from = 0, size = 0;
	long ret;

	if (failed(fd))
		return fd;
	while (!from) {
		long n = SYS3(__NR_read, fd, chunk, sizeof(chunk));

		if (failed(n) || n == 0)
			break;
		for (long i = 0; i < n && !from; i++) {
			if (chunk[i] != '\n') {
				if (used < sizeof(line) - 1)
					line[used++] = chunk[i];
				continue;
			}
			line[used] = 0;
			if (used > 6 && equal(line + used - 6, "[vdso]")) {
				const char *at = line;

				from = read_hex(&at);
				at++;
				size = read_hex(&at) - from;
			}
			used = 0;
		}
	}
	SYS3(__NR_close, fd, 0, 0);
	if (!from)
		return -ENOSYS;
	ret = sys6(__NR_mmap, addr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, (word)-1L, 0);
	if (failed(ret))
		return ret;
	ret = SYS(__NR_mremap, from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, addr);
	if (failed(ret)) {
		SYS3(__NR_munmap, addr, size, 0);
		return ret;
	}
	return (long)(size / PAGE);
}

/* Whether the page is in memory: bit 63 of its entry in pagemap. */
static int present(word addr)
{
	long fd = SYS3(__NR_openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY);
	uint64_t entry = 0;

	if (failed(fd))
		return 0;
	SYS(__NR_pread64, fd, &entry, sizeof(entry), addr / PAGE * sizeof(entry), 0);
	SYS3(__NR_close, fd, 0, 0);
	return (int)(entry >> 63);
}

/* Child: the kernel kills it when its parent ends, and it may have ended already. */
static void die_with(long parent)
{
	SYS3(__NR_prctl, 1 /* PR_SET_PDEATHSIG */, SIGKILL, 0);
	if (SYS3(__NR_getppid, 0, 0, 0) != parent)
		SYS3(__NR_exit_group, 1, 0, 0);
}

/*
 * A child takes memory until the page is gone, or until the kernel has no more and kills the child.
 * That may have to be done more than once: where there is next to nothing to take back, the kernel
 * looks once, sees that the page is in use, and gives up.
 */
static void make_memory_scarce(word addr)
{
	const word size = 16UL << 20;
	long parent = SYS3(__NR_getpid, 0, 0, 0), pid = SYS3(__NR_fork, 0, 0, 0);
	int status;

	if (pid == 0) {
		long fd = SYS3(__NR_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY);

		die_with(parent);
		SYS3(__NR_write, fd, "1000", 4);
		for (;;) {
			long at = sys6(__NR_mmap, 0, size, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, (word)-1L, 0);

			if (failed(at))
				SYS3(__NR_exit_group, 0, 0, 0);
			for (word i = 0; i < size; i += PAGE)
				*(volatile char *)(at + (long)i) = 1;
		}
	}
	while (!failed(pid) && present(addr)) {
		struct timespec64 pause = {0, 20000000};

		SYS3(__NR_nanosleep, &pause, 0, 0);
		if (SYS(__NR_wait4, pid, &status, 1 /* WNOHANG */, 0, 0) == pid)
			return;
	}
	SYS3(__NR_kill, pid, SIGKILL, 0);
	SYS(__NR_wait4, pid, &status, 0, 0, 0);
}

/* The kernel takes a page back, if it may. */
static long reclaim(word addr)
{
	long ret;

	addr -= addr % PAGE;
	ret = SYS3(__NR_madvise, addr, PAGE, 21 /* MADV_PAGEOUT */);
	if (ret == -EPERM && in_guest) {
		for (int i = 0; i < 4 && present(addr); i++)
			make_memory_scarce(addr);
		return 0;
	}
	/* locked pages stay, and unmapped ones are no concern of the kernel's */
	return ret == -EINVAL || ret == -ENOMEM ? 0 : ret;
}

#define LIMIT_MEMLOCK 8
#define LIMIT_AS 9

static void set_effective(int capability, int on)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];

	if (SYS3(__NR_capget, &header, data, 0))
		return;
	data[0].effective = on ? data[0].permitted & (data[0].effective | (1U << capability))
			       : data[0].effective & ~(1U << capability);
	SYS3(__NR_capset, &header, data, 0);
}

/* Takes the room under a limit away, or gives it back. */
static void limit(int which, int exhausted)
{
	static word old[16][2];
	word none[2] = {1, 0}; /* less than a page; 0 bytes of locked memory would mean: may not lock at all */

	if (exhausted) {
		SYS(__NR_prlimit64, 0, which, 0, old[which], 0);
		none[1] = old[which][1];
	}
	SYS(__NR_prlimit64, 0, which, exhausted ? none : old[which], 0, 0);
	if (which == LIMIT_MEMLOCK)
		set_effective(CAP_IPC_LOCK, !exhausted);
}

/* Goes on in a child; the parent waits for it and ends the way it did. */
static long fork_on(void)
{
	long parent = SYS3(__NR_getpid, 0, 0, 0), pid = SYS3(__NR_fork, 0, 0, 0);
	int status = 0;

	if (failed(pid))
		return pid;
	if (pid == 0) {
		die_with(parent);
		open_own_files();
		return 0;
	}
	while (SYS(__NR_wait4, pid, &status, 0, 0, 0) == -EINTR)
		;
	if ((status & 0x7f) != 0) {
		set_handler(status & 0x7f, 0);
		SYS3(__NR_kill, SYS3(__NR_getpid, 0, 0, 0), status & 0x7f, 0);
	}
	SYS3(__NR_exit_group, (status >> 8) & 0xff, 0, 0);
	return 0;
}

static void write_pkru(word bits)
{
	__asm__ volatile(".byte 0x0f, 0x01, 0xef" : : "a"((uint32_t)bits), "c"(0), "d"(0) : "memory");
}

static void say(const char *text)
{
	size_t n = length(text);

	if (shared->overflow || shared->used + n > OUT_SIZE) {
		shared->overflow = 1;
		return;
	}
	memcpy(shared->text + shared->used, text, n);
	shared->used += (uint32_t)n;
}

enum show { SHOW_NUMBER, SHOW_PLACE, SHOW_BREAK };

static void report(long ret, enum show show, word asked, int of_brk)
{
	static char text[VMAS_SIZE + 512];
	char *at = text;

	read_vmas();
	read_bytes();
	if (failed(ret)) {
		at = put(at, "-1\t");
		at = put_decimal(at, -ret);
	} else {
		if (show == SHOW_NUMBER) {
			at = put_decimal(at, ret);
		} else if (show == SHOW_BREAK) {
			at = put_decimal(at, (ret - (long)brk0) / (long)PAGE);
			if ((word)ret % PAGE) {
				*at++ = '+';
				at = put_decimal(at, (long)((word)ret % PAGE));
			}
		} else if (of_brk && (word)ret == asked) {
			at = put(at, "0");
		} else if ((word)ret >= WINDOW && (word)ret < WINDOW_END && (word)ret % PAGE == 0) {
			*at++ = 'p';
			at = put_decimal(at, (long)(((word)ret - WINDOW) / PAGE));
		} else {
			at = put(at, "elsewhere");
		}
		at = put(at, "\t0");
	}
	*at++ = '\t';
	at = put(at, equal(vmas_now, vmas_last) ? "=" : vmas_now);
	*at++ = '\t';
	at = put(at, equal(bytes_now, bytes_last) ? "=" : bytes_now);
	*at++ = '\n';
	*at = 0;
	put(vmas_last, vmas_now);
	put(bytes_last, bytes_now);
	say(text);
}

static void step(const char *at)
{
	struct argument a[6];
	char what = *at++;
	enum show show = SHOW_NUMBER;
	long ret = -ENOSYS;

	for (int i = 0; i < (what == 'o' ? 2 : 6); i++)
		a[i] = read_argument(&at);
#define V(i) a[i].value
	if (what == 'X') {
		limits = V(0);
		return;
	}
	if (limits & 1)
		limit(LIMIT_AS, 1);
	if (limits & 2)
		limit(LIMIT_MEMLOCK, 1);
	switch (what) {
	case 'm':
		ret = sys6(__NR_mmap, V(0), V(1), V(2), V(3), V(4), V(5));
		show = SHOW_PLACE;
		break;
	case 'u':
		ret = SYS3(__NR_munmap, V(0), V(1), 0);
		break;
	case 'p':
		ret = SYS3(__NR_mprotect, V(0), V(1), V(2));
		break;
	case 'k':
		ret = SYS(__NR_pkey_mprotect, V(0), V(1), V(2), V(3), 0);
		break;
	case 'r':
		ret = SYS(__NR_mremap, V(0), V(1), V(2), V(3), V(4));
		show = SHOW_PLACE;
		break;
	case 'a':
		/* 100 and 101 take pages away from the whole machine: only where they are refused. */
		if (!unprivileged && ((uint32_t)V(2) == 100 || (uint32_t)V(2) == 101))
			ret = -EOPNOTSUPP;
		else
			ret = SYS3(__NR_madvise, V(0), V(1), V(2));
		break;
	case 's':
		ret = SYS3(__NR_mseal, V(0), V(1), V(2));
		break;
	case 'l':
		ret = SYS3(__NR_mlock, V(0), V(1), 0);
		break;
	case 'n':
		ret = SYS3(__NR_munlock, V(0), V(1), 0);
		break;
	case 'b':
		ret = SYS3(__NR_brk, V(0), 0, 0);
		show = SHOW_BREAK;
		break;
	case 'A':
		ret = SYS3(__NR_pkey_alloc, V(0), V(1), 0);
		break;
	case 'D':
		ret = SYS3(__NR_pkey_free, V(0), 0, 0);
		break;
	case 'P':
		if (!has_pku)
			ret = -ENOSYS;
		else if (V(0) & 3)
			ret = -EINVAL; /* key 0 is this program's own memory */
		else
			write_pkru(V(0)), ret = 0;
		break;
	case 'w':
		ret = store(V(0), V(1));
		if (ret == 0)
			ret = 1;
		break;
	case 'f':
		ret = fill(V(0));
		break;
	case 'v':
		ret = move_vdso(V(0));
		break;
	case 'o':
		ret = make_file(V(0), V(1), *at == ' ' ? at + 1 : "");
		break;
	case 'R':
		ret = reclaim(V(0));
		break;
	case 'F':
		ret = fork_on();
		break;
	}
	if (limits & 1)
		limit(LIMIT_AS, 0);
	if (limits & 2)
		limit(LIMIT_MEMLOCK, 0);
	limits = 0;
	report(ret, show, V(0), a[0].of_brk);
#undef V
}

static const char *line_end(const char *at)
{
	while (at < script_end && *at != '\n')
		at++;
	return at;
}

/* Child: runs the steps between the two places of the script. */
static __attribute__((noreturn)) void run(const char *from, const char *to)
{
	uses_brk = 0;
	for (const char *at = from; at < to; at++)
		if (*at == 'b' && (at[-1] == ' ' || at[-1] == '\n'))
			uses_brk = 1;
	for (const char *at = from; at < to; at = line_end(at) + 1)
		if (*at == 'm') {
			make_objects();
			break;
		}
	drop_privileges();
	open_own_files();
	set_handler(SIGSEGV, on_fault);
	set_handler(SIGBUS, on_fault);
	put(vmas_last, "-");
	put(bytes_last, "-");
	for (const char *at = from; at < to; at = line_end(at) + 1)
		step(at);
	SYS3(__NR_exit_group, 0, 0, 0);
	__builtin_unreachable();
}

/* ---- parent ------------------------------------------------------------- */

static char out[1 << 16];
static size_t out_used;

static void flush(void)
{
	write_all(FD_OUT, out, out_used);
	out_used = 0;
}

static void emit(const char *text, size_t n)
{
	if (out_used + n > sizeof(out))
		flush();
	if (n > sizeof(out)) {
		write_all(FD_OUT, text, n);
		return;
	}
	memcpy(out + out_used, text, n);
	out_used += n;
}

static void scenario(const char *id, size_t id_length, const char *from, const char *to)
{
	struct timespec64 limit = {(int64_t)(limit_ms / 1000), (int64_t)(limit_ms % 1000) * 1000000};
	word mask = 1UL << (SIGCHLD - 1);
	char text[64];
	char *at = text;
	int status = 0, timeout = 0;
	long parent = SYS3(__NR_getpid, 0, 0, 0), pid, got;

	shared->used = 0;
	shared->overflow = 0;
	pid = SYS3(__NR_fork, 0, 0, 0);
	if (pid == 0) {
		die_with(parent);
		run(from, to);
	}
	emit("S\t", 2);
	emit(id, id_length);
	emit("\n", 1);
	if (failed(pid)) {
		at = put(at, "E\texit 255\n");
		emit(text, (size_t)(at - text));
		return;
	}
	for (;;) {
		got = SYS(__NR_wait4, pid, &status, 1 /* WNOHANG */, 0, 0);
		if (got == pid || (failed(got) && got != -EINTR))
			break;
		if (SYS(__NR_rt_sigtimedwait, &mask, 0, &limit, 8, 0) != -EAGAIN)
			continue;
		if (timeout) /* it does not even die */
			break;
		timeout = 1;
		SYS3(__NR_kill, pid, SIGKILL, 0);
	}
	if (in_guest) /* what a dead child left behind comes to process 1 */
		while (SYS(__NR_wait4, -1L, 0, 1, 0, 0) > 0)
			;
	if (shared->used <= OUT_SIZE)
		emit(shared->text, shared->used);
	at = put(at, "E\t");
	if (shared->overflow) {
		at = put(at, "overflow");
	} else if (timeout) {
		at = put(at, "timeout");
	} else if (status & 0x7f) {
		at = put(at, "signal ");
		at = put_decimal(at, status & 0x7f);
	} else if (status >> 8) {
		at = put(at, "exit ");
		at = put_decimal(at, (status >> 8) & 0xff);
	} else {
		at = put(at, "ok");
	}
	*at++ = '\n';
	emit(text, (size_t)(at - text));
	if (in_guest)
		flush();
}

/* ---- nursery ------------------------------------------------------------ */

struct order {
	const char *id, *from, *to;
	size_t id_length;
};

static long nursery, orders_to = -1, done_from = -1; /* its process, the ends of the pipes to it and from it */
static int nursery_failed;

static int fills(const char *from, const char *to)
{
	for (const char *at = from; at < to; at = line_end(at) + 1)
		if (*at == 'f')
			return 1;
	return 0;
}

static __attribute__((noreturn)) void tend(int orders, int done)
{
	struct order order;

	out_used = 0; /* what is in there, the parent writes */
	if (fill(NURSERY_ROOM))
		SYS3(__NR_exit_group, 1, 0, 0);
	while (SYS3(__NR_read, orders, &order, sizeof(order)) == sizeof(order)) {
		scenario(order.id, order.id_length, order.from, order.to);
		flush();
		write_all(done, "", 1);
	}
	SYS3(__NR_exit_group, 0, 0, 0);
	__builtin_unreachable();
}

static int start_nursery(void)
{
	long parent = SYS3(__NR_getpid, 0, 0, 0);
	int orders[2], done[2];

	if (SYS3(__NR_pipe2, orders, 0, 0) || SYS3(__NR_pipe2, done, 0, 0))
		return 0;
	nursery = SYS3(__NR_fork, 0, 0, 0);
	if (nursery == 0) {
		die_with(parent);
		SYS3(__NR_close, orders[1], 0, 0);
		SYS3(__NR_close, done[0], 0, 0);
		tend(orders[0], done[1]);
	}
	SYS3(__NR_close, orders[0], 0, 0);
	SYS3(__NR_close, done[1], 0, 0);
	orders_to = orders[1];
	done_from = done[0];
	return !failed(nursery);
}

static void end_nursery(void)
{
	if (orders_to < 0)
		return;
	SYS3(__NR_close, orders_to, 0, 0);
	SYS(__NR_wait4, nursery, 0, 0, 0, 0);
}

/* Runs a scenario in a child of the nursery; 0 if there is none to run it in. */
static int scenario_in_nursery(const char *id, size_t id_length, const char *from, const char *to)
{
	struct order order = {id, from, to, id_length};
	char answer;

	if (nursery_failed || (orders_to < 0 && !start_nursery())) {
		nursery_failed = 1;
		return 0;
	}
	flush();
	if (SYS3(__NR_write, orders_to, &order, sizeof(order)) == sizeof(order) &&
	    SYS3(__NR_read, done_from, &answer, 1) == 1)
		return 1;
	nursery_failed = 1;
	return 0;
}

static word read_number_file(const char *path)
{
	long fd = SYS3(__NR_openat, AT_FDCWD, path, O_RDONLY);
	char text[32];
	long n;
	word v = 0;

	if (failed(fd))
		return 0;
	n = SYS3(__NR_read, fd, text, sizeof(text));
	SYS3(__NR_close, fd, 0, 0);
	for (long i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
		v = v * 10 + (word)(text[i] - '0');
	return v;
}

static void write_file(const char *path, const char *text)
{
	long fd = SYS3(__NR_openat, AT_FDCWD, path, O_WRONLY);

	if (failed(fd))
		return;
	SYS3(__NR_write, fd, text, length(text));
	SYS3(__NR_close, fd, 0, 0);
}

static void write_number_file(const char *path, word value)
{
	char text[32];

	put_decimal(text, (long)value);
	write_file(path, text);
}

/* Swap on a compressed memory disk, where the kernel has one. */
static void swap_on(word mib)
{
	static char page[4096];
	uint32_t *info = (uint32_t *)(page + 1024);
	word bytes = mib << 20;
	long fd;

	write_number_file("/sys/block/zram0/disksize", bytes);
	SYS(__NR_mknodat, AT_FDCWD, "/dev/zram0", S_IFBLK | 0600, (254 << 8), 0);
	fd = SYS3(__NR_openat, AT_FDCWD, "/dev/zram0", O_RDWR);
	if (failed(fd))
		return;
	info[0] = 1;
	info[1] = (uint32_t)(bytes / PAGE - 1);
	put(page + 4096 - 10, "SWAPSPACE");
	page[4095] = '2';
	SYS3(__NR_write, fd, page, sizeof(page));
	SYS3(__NR_close, fd, 0, 0);
	SYS3(__NR_swapon, "/dev/zram0", 0, 0);
}

struct terminal { /* struct termios of the kernel */
	uint32_t iflag, oflag, cflag, lflag;
	uint8_t line, cc[19];
};

#define TCGETS 0x5401
#define TCSETS 0x5402
#define TCSBRK 0x5409

static void open_guest_output(void)
{
	struct terminal t;
	long fd;

	SYS(__NR_mknodat, AT_FDCWD, "/dev/ttyS1", S_IFCHR | 0600, (4 << 8) | 65, 0);
	fd = SYS3(__NR_openat, AT_FDCWD, "/dev/ttyS1", O_RDWR | O_NOCTTY);
	if (failed(fd))
		return;
	if (!SYS3(__NR_ioctl, fd, TCGETS, &t)) {
		t.iflag = t.oflag = t.lflag = 0;
		t.cflag = 0x1002 | 0x30 | 0x80 | 0x800; /* 115200 8n1, CREAD, CLOCAL */
		SYS3(__NR_ioctl, fd, TCSETS, &t);
	}
	SYS3(__NR_dup2, fd, FD_OUT, 0);
	SYS3(__NR_close, fd, 0, 0);
}

static __attribute__((noreturn)) void finish(int code)
{
	if (in_guest) {
		SYS3(__NR_ioctl, FD_OUT, TCSBRK, 1);
		SYS(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF, 0, 0);
		SYS(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART, 0, 0);
	}
	SYS3(__NR_exit_group, code, 0, 0);
	__builtin_unreachable();
}

static __attribute__((noreturn)) void fail(const char *why)
{
	write_all(in_guest ? 1 : 2, why, length(why));
	write_all(in_guest ? 1 : 2, "\n", 1);
	finish(2);
}

static void detect_pku(void)
{
	uint32_t a = 0, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	if (a < 7)
		return;
	a = 7;
	c = 0;
	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	has_pku = (c >> 4) & 1; /* OSPKE */
}

static void load_script(const char *path)
{
	long fd = SYS3(__NR_openat, AT_FDCWD, path, O_RDONLY);
	long size, at;

	if (failed(fd))
		fail("oracle: the script cannot be opened");
	size = SYS3(__NR_lseek, fd, 0, 2);
	if (failed(size) || size == 0)
		fail("oracle: the script is empty or not a file");
	at = sys6(__NR_mmap, 0, (word)size, PROT_READ, MAP_PRIVATE, (word)fd, 0);
	if (failed(at))
		fail("oracle: the script cannot be mapped");
	SYS3(__NR_close, fd, 0, 0);
	script = (const char *)at;
	script_end = script + size;
}

static void move_break(void)
{
	word now = (word)SYS3(__NR_brk, 0, 0, 0);
	word up = (now + PAGE - 1) & ~(PAGE - 1);

	brk0 = up + 16 * PAGE;
	if ((word)SYS3(__NR_brk, brk0, 0, 0) != brk0)
		fail("oracle: the program break cannot be moved");
	SYS3(__NR_munmap, up, 16 * PAGE, 0);
}

/* Whether /proc/swaps has a line below its heading. */
static int has_swap(void)
{
	long fd = SYS3(__NR_openat, AT_FDCWD, "/proc/swaps", O_RDONLY);
	long n = failed(fd) ? 0 : SYS3(__NR_read, fd, chunk, sizeof(chunk));
	int lines = 0;

	if (!failed(fd))
		SYS3(__NR_close, fd, 0, 0);
	for (long i = 0; i < n; i++)
		lines += chunk[i] == '\n';
	return lines > 1;
}

static void hello(void)
{
	static char name[6][65]; /* struct utsname */
	static char text[256];
	char *at = put(text, "H\t");

	SYS3(__NR_uname, name, 0, 0);
	at = put(at, name[2]);
	*at++ = '\t';
	at = put_decimal(at, has_pku);
	*at++ = '\t';
	at = put_decimal(at, (long)max_map_count);
	*at++ = '\t';
	at = put_decimal(at, SYS3(__NR_mseal, 0, 0, 0) == 0);
	*at++ = '\t';
	at = put_decimal(at, has_swap());
	*at++ = '\n';
	emit(text, (size_t)(at - text));
	flush();
}

static __attribute__((noreturn, used)) void start(word *stack)
{
	long argc = (long)stack[0];
	char **argv = (char **)(stack + 1);
	word mask = 1UL << (SIGCHLD - 1);
	word count = 0;
	long ret;
	const char *at;
	char text[32];

	in_guest = SYS3(__NR_getpid, 0, 0, 0) == 1;
	if (in_guest) {
		SYS3(__NR_mkdir, "/proc", 0755, 0);
		SYS3(__NR_mkdir, "/sys", 0755, 0);
		SYS3(__NR_mkdir, "/dev", 0755, 0);
		SYS(__NR_mount, "proc", "/proc", "proc", 0, 0);
		SYS(__NR_mount, "sysfs", "/sys", "sysfs", 0, 0);
		SYS(__NR_mount, "dev", "/dev", "devtmpfs", 0, 0);
		open_guest_output();
		/* a transparent huge page would have an anon_vma prepared when this program reads it */
		write_file("/sys/kernel/mm/transparent_hugepage/enabled", "never");
	} else {
		if (argc != 2)
			fail("usage: oracle SCRIPT > RESULTS");
		SYS3(__NR_dup2, 1, FD_OUT, 0);
	}
	detect_pku();
	load_script(in_guest ? "/script" : argv[1]);
	ret = sys6(__NR_mmap, 0, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		   (word)-1L, 0);
	if (failed(ret))
		fail("oracle: no memory for results");
	shared = (struct shared *)ret;
	move_break();
	SYS(__NR_rt_sigprocmask, 0, &mask, 0, 8, 0);
	for (at = script; at < script_end && *at != 'S'; at = line_end(at) + 1) {
		const char *rest = at + 1;
		word value = read_argument(&rest).value;

		if (*at == 'L')
			limit_ms = value;
		if (*at == 'M' && in_guest)
			write_number_file("/proc/sys/vm/max_map_count", value);
		if (*at == 'Z' && in_guest)
			swap_on(value);
		if (*at == 'G' && in_guest)
			write_number_file("/proc/sys/vm/nr_hugepages", value);
	}
	max_map_count = read_number_file("/proc/sys/vm/max_map_count");
	hello();
	while (at < script_end) {
		const char *id = at + 2, *id_end = line_end(at), *from = id_end + 1, *to = from;

		if (from > script_end)
			break;
		while (to < script_end && *to != 'S')
			to = line_end(to) + 1;
		if (to > script_end)
			to = script_end;
		if (max_map_count < 16 * NURSERY_ROOM || !fills(from, to) ||
		    !scenario_in_nursery(id, (size_t)(id_end - id), from, to))
			scenario(id, (size_t)(id_end - id), from, to);
		count++;
		at = to;
	}
	end_nursery();
	emit("Q\t", 2);
	emit(text, (size_t)(put_decimal(text, (long)count) - text));
	emit("\n", 1);
	flush();
	finish(0);
}

void _start(void);
__asm__(".globl _start\n"
	"_start: xor %ebp, %ebp\n"
	"mov %rsp, %rdi\n"
	"and $-16, %rsp\n"
	"call start\n"
	"hlt\n");
