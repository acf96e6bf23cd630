/* The journal of a test guest: numbered records with checksums, each on every
 * disk in turn and flushed before the next one begins.  An image of the disks
 * is of one point in time when each journal is without a gap and their ends
 * differ by no more than the record that was being written.
 *
 *   journal write CONTROL FILE...   until it is killed
 *   journal check FILE              one line: "FIRST LAST TIME"; 1: it is not whole
 *
 * A record has 64 bytes, so it never crosses a block:
 *   "NNNNNNNNNNNN SSSSSSSSSS.NNNNNNNNN CCCCCCCC" and dots, newline; N the number, S the time, C
 * the CRC-32 of what stands before it.  CONTROL holds a number of milliseconds
 * to wait between records and is read anew for each; beside it, in
 * CONTROL.last, is the number of the newest record that is on all disks. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RECORD 64
#define SUMMED 33	/* bytes under the checksum */

static uint32_t crc32_of(const char *p, size_t n)
{
	uint32_t c = ~0u;

	while (n--) {
		c ^= (uint8_t)*p++;
		for (int i = 0; i < 8; i++)
			c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
	}
	return ~c;
}

static void record_make(char *out, uint64_t number)
{
	char text[RECORD + 1];
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	snprintf(text, sizeof(text), "%012" PRIu64 " %010lld.%09ld ", number, (long long)t.tv_sec, t.tv_nsec);
	snprintf(text + SUMMED, sizeof(text) - SUMMED, " %08" PRIx32, crc32_of(text, SUMMED));
	memset(out, '.', RECORD);
	memcpy(out, text, strlen(text));
	out[RECORD - 1] = '\n';
}

/* The number of a record, or 0. */
static uint64_t record_number(const char *p)
{
	char sum[16], text[RECORD];

	memcpy(text, p, RECORD);
	text[RECORD - 1] = 0;
	snprintf(sum, sizeof(sum), " %08" PRIx32, crc32_of(p, SUMMED));
	return memcmp(p + SUMMED, sum, strlen(sum)) ? 0 : strtoull(text, NULL, 10);
}

static int fail(const char *what)
{
	fprintf(stderr, "journal: %s: %s\n", what, strerror(errno));
	return 1;
}

static unsigned pause_ms(const char *control)
{
	unsigned ms = 0;
	FILE *f = fopen(control, "re");

	if (f) {
		if (fscanf(f, "%u", &ms) != 1)
			ms = 0;
		fclose(f);
	}
	return ms;
}

static int tell(int fd, uint64_t number)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%020" PRIu64 "\n", number);

	return pwrite(fd, text, (size_t)n, 0) == n ? 0 : -1;
}

/* Go on after the last record of a journal that is there already. */
static uint64_t resume(int fd)
{
	char p[RECORD];
	off_t end = lseek(fd, 0, SEEK_END) / RECORD * RECORD;

	if (ftruncate(fd, end) != 0 || end == 0 || pread(fd, p, RECORD, end - RECORD) != RECORD)
		return 0;
	return record_number(p);
}

static int journal_write(const char *control, char **file, int files)
{
	char p[RECORD], last[256];
	uint64_t number = UINT64_MAX, n;
	int fd[16], out;

	if (files < 1 || files > 16)
		return fail("from 1 to 16 files");
	for (int i = 0; i < files; i++) {
		fd[i] = open(file[i], O_RDWR | O_CREAT | O_CLOEXEC, 0644);
		if (fd[i] < 0)
			return fail(file[i]);
		n = resume(fd[i]);
		number = n < number ? n : number;
	}
	for (int i = 0; i < files; i++)		/* a record not on all disks is written again */
		if (ftruncate(fd[i], (off_t)(number * RECORD)) != 0 || lseek(fd[i], 0, SEEK_END) < 0)
			return fail(file[i]);
	snprintf(last, sizeof(last), "%s.last", control);
	out = open(last, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (out < 0)
		return fail(last);
	for (;;) {
		unsigned ms = pause_ms(control);

		record_make(p, ++number);
		for (int i = 0; i < files; i++)
			if (write(fd[i], p, RECORD) != RECORD || fsync(fd[i]) != 0)
				return fail(file[i]);
		if (tell(out, number) != 0)
			return fail(last);
		if (ms)
			nanosleep(&(struct timespec){ ms / 1000, (long)(ms % 1000) * 1000000 }, NULL);
	}
}

static int journal_check(const char *file)
{
	char p[RECORD], time[24] = "";
	uint64_t first = 0, last = 0, n;
	FILE *f = strcmp(file, "-") ? fopen(file, "re") : stdin;
	size_t got;

	if (!f)
		return fail(file);
	while ((got = fread(p, 1, RECORD, f)) == RECORD) {
		n = record_number(p);
		if (n == 0 || (first && n != last + 1)) {
			fprintf(stderr, "journal: %s: after record %" PRIu64 ": %s\n", file, last,
			    n ? "a gap" : "not a record");
			return 1;
		}
		first = first ? first : n;
		last = n;
		memcpy(time, p + 13, 20);
	}
	if (got || !first) {
		fprintf(stderr, "journal: %s: %s\n", file, got ? "ends within a record" : "is empty");
		return 1;
	}
	printf("%" PRIu64 " %" PRIu64 " %s\n", first, last, time);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 4 && !strcmp(argv[1], "write"))
		return journal_write(argv[2], argv + 3, argc - 3);
	if (argc == 3 && !strcmp(argv[1], "check"))
		return journal_check(argv[2]);
	fprintf(stderr, "usage: journal write CONTROL FILE... | journal check FILE\n");
	return 2;
}
