/* Sessions: made, saved, joined, taken over from the dead, refused while
 * another is at work. */
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/site.h"
#include "base/bytes.h"
#include "repo/session.h"
#include "repo/session_text.h"

static const uint8_t id1[16] = { 1 }, id2[16] = { 2 }, id3[16] = { 3 };

static struct session_disk disk_vda(void)
{
	return (struct session_disk){
		.name = (char *)"vda", .size = 1ull << 60, .block = 512, .frozen = true, .has_base = true,
		.base = { { 7 } }, .base_point = (char *)"file:1", .target_point = (char *)"file:2",
	};
}

static struct session want_of(struct session_disk *d)
{
	return (struct session){ .workload = (char *)"web", .disk = d, .ndisks = 1, .fd = -1 };
}

static void take_over(void)
{
	struct site *s = site_new();
	struct session_disk d = disk_vda();
	struct session want = want_of(&d), *a, *b, *f;
	struct err e = { 0 };

	CHECK(!session_find(s, &want, &e) && !e.code);
	a = session_begin(s, id1, &want, &e);
	CHECK(a && a->fd >= 0 && !a->disk[0].has_partial);
	a->disk[0].has_partial = true;
	a->disk[0].partial.b[3] = 42;
	a->epoch = 5;
	OK(session_save(s, a, &e), e);
	/* While it is at work nobody else does the same. */
	CHECK(!session_begin(s, id2, &want, &e) && e.code == DM_NO);
	e.code = 0;
	session_close(a);
	f = session_find(s, &want, &e);
	CHECK(f && f->fd == -1 && f->epoch == 5 && f->disk[0].has_partial);
	session_close(f);
	b = session_begin(s, id2, &want, &e);
	CHECK(b && b->disk[0].has_partial && b->disk[0].partial.b[3] == 42 && b->epoch == 0);
	CHECK(!session_join(s, id1, &e) && e.code == DM_NO);
	e.code = 0;
	a = session_join(s, id2, &e);
	CHECK(a && !strcmp(a->workload, "web") && a->disk[0].size == 1ull << 60);
	session_close(b);
	OK(session_end(s, a, &e), e);
	session_close(a);
	CHECK(!session_join(s, id2, &e) && e.code == DM_NO);
	site_drop(s);
}

static void another_point_gives_resume_only(void)
{
	struct site *s = site_new();
	struct session_disk d = disk_vda();
	struct session want = want_of(&d), *a;
	struct err e = { 0 };

	a = session_begin(s, id1, &want, &e);
	CHECK(a);
	a->disk[0].has_partial = true;
	a->disk[0].partial.b[0] = 9;
	OK(session_save(s, a, &e), e);
	session_close(a);
	d.target_point = (char *)"file:3";
	a = session_begin(s, id2, &want, &e);
	CHECK(a && !a->disk[0].has_partial && a->disk[0].has_resume && a->disk[0].resume.b[0] == 9);
	session_close(a);
	d.base.b[0]++;
	a = session_begin(s, id3, &want, &e);
	CHECK(a && !a->disk[0].has_partial && !a->disk[0].has_resume);
	session_close(a);
	site_drop(s);
}

static void listed_with_who_lives(void)
{
	struct site *s = site_new();
	struct session_disk d = disk_vda();
	struct session want = want_of(&d), *a, **v;
	struct err e = { 0 };
	bool *alive;
	size_t n;
	pid_t pid;
	int p[2];
	char c;

	CHECK(!pipe(p));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		a = session_begin(s, id1, &want, &e);
		if (!a || write(p[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	CHECK(read(p[0], &c, 1) == 1);
	want.workload = (char *)"db";
	a = session_begin(s, id2, &want, &e);
	CHECK(a);
	session_close(a);
	OK(session_list(s, &v, &alive, &n, &e), e);
	CHECK(n == 2);
	for (size_t i = 0; i < n; i++) {
		CHECK(alive[i] == !strcmp(v[i]->workload, "web"));
		session_close(v[i]);
	}
	free(v);
	free(alive);
	CHECK(!kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid);
	OK(session_list(s, &v, &alive, &n, &e), e);
	for (size_t i = 0; i < n; i++) {
		CHECK(!alive[i]);
		session_close(v[i]);
	}
	free(v);
	free(alive);
	close(p[0]);
	close(p[1]);
	site_drop(s);
}

/* Any damage to a state is refused or harmless, never a crash. */
static void damaged_states(void)
{
	struct session_disk d = disk_vda();
	struct session want = want_of(&d), *se;
	struct err e = { 0 };
	char *text;

	want.name = (char *)"00112233445566778899aabbccddeeff";
	text = session_text(&want, ID_BLAKE3, &e);
	CHECK(text);
	se = session_parse(text, strlen(text), ID_BLAKE3, &e);
	CHECK(se && se->disk[0].size == 1ull << 60 && id_equal(&se->disk[0].base, &d.base));
	session_close(se);
	CHECK(!session_parse(text, strlen(text), ID_BLAKE2B, &e) && e.code == DM_BAD);
	for (int i = 0; i < 2000; i++) {
		char *t = strdup(text);

		t[rnd_below(strlen(t))] = (char)rnd_below(256);
		e.code = 0;
		se = session_parse(t, strlen(text) - rnd_below(3), ID_BLAKE3, &e);
		CHECK(se || e.code == DM_BAD);
		session_close(se);
		free(t);
	}
	free(text);
}

int main(void)
{
	RUN(take_over);
	RUN(another_point_gives_resume_only);
	RUN(listed_with_who_lives);
	RUN(damaged_states);
	return 0;
}
