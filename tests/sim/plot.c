/* Windows and rates over time, as SVG. */
#include <math.h>
#include <stdio.h>

#include "sim.h"

#define WIDTH 860
#define HEIGHT 150
#define LEFT 60
#define GAP 70

static void line(FILE *f, const double *v, unsigned n, double top, double y, const char *color)
{
	fprintf(f, "<polyline fill='none' stroke='%s' stroke-width='1.3' points='", color);
	for (unsigned i = 0; i < n; i++)
		fprintf(f, "%.1f,%.1f ", LEFT + (double)WIDTH * i / n,
		    y + HEIGHT - HEIGHT * fmin(v[i], top) / top);
	fprintf(f, "'/>\n");
}

static void frame(FILE *f, double y, const char *title, double top, const char *unit, double length)
{
	fprintf(f, "<rect x='%d' y='%.0f' width='%d' height='%d' fill='none' stroke='#999'/>\n"
	    "<text x='%d' y='%.0f'>%s</text>\n<text x='4' y='%.0f'>%.0f %s</text>\n"
	    "<text x='40' y='%.0f'>0</text>\n<text x='%d' y='%.0f'>%.0f s</text>\n",
	    LEFT, y, WIDTH, HEIGHT, LEFT, y - 5, title, y + 10, top, unit, y + HEIGHT,
	    LEFT + WIDTH - 30, y + HEIGHT + 14, length);
}

static double highest(const struct plot_line *l, unsigned n)
{
	double top = 1;

	for (unsigned k = 0; k < n; k++)
		for (unsigned i = 0; i < l[k].result.trace_n; i++)
			top = fmax(top, l[k].result.trace_rate[i]);
	return ceil(top * 1.05);
}

int plot_write(const char *path, const struct sim_case *cases, unsigned ncases,
    struct plot_line *lines, unsigned per_case)
{
	FILE *f = fopen(path, "w");
	double y = 60;
	char title[160];

	if (!f)
		return -1;
	fprintf(f, "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%u' "
	    "font-family='sans-serif' font-size='11'>\n<rect width='100%%' height='100%%' fill='white'/>\n",
	    LEFT + WIDTH + 20, 60 + ncases * 2 * (HEIGHT + GAP / 2) + ncases * GAP / 2);
	for (unsigned k = 0; k < per_case && lines[k].label; k++)
		fprintf(f, "<text x='%u' y='20' fill='%s'>%s</text>\n", LEFT + 120 * k, lines[k].color,
		    lines[k].label);
	for (unsigned c = 0; c < ncases; c++) {
		struct plot_line *l = &lines[c * per_case];
		double top = highest(l, per_case);

		if (!l[0].label)
			continue;
		snprintf(title, sizeof title, "%s: %s: rate of all disks", cases[c].name, cases[c].about);
		frame(f, y, title, top, "MiB/s", cases[c].length);
		frame(f, y + HEIGHT + GAP / 2, "window of the first disk", 70, "MiB", cases[c].length);
		/* The law on top. */
		for (unsigned k = per_case; k-- > 0;) {
			line(f, l[k].result.trace_rate, l[k].result.trace_n, top, y, l[k].color);
			line(f, l[k].result.trace_window, l[k].result.trace_n, 70,
			    y + HEIGHT + GAP / 2, l[k].color);
		}
		y += 2 * (HEIGHT + GAP / 2) + GAP / 2.0;
	}
	fprintf(f, "</svg>\n");
	return fclose(f) ? -1 : 0;
}
