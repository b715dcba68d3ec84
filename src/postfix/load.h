/* main.cf read so that one error does not hide the others: its lines as they stand,
 * and a configuration in which what cannot be used counts as not set. */
#ifndef POSTFIX_LOAD_H
#define POSTFIX_LOAD_H

#include "global/config.h"

/* One logical line of main.cf. */
struct load_line {
    int line;
    const char *name, *value; /* NULL: not a setting */
    const char *problem;      /* why not, or NULL */
    const char *text;         /* as written, when there is a problem */
};

/* A setting that cannot be used. */
struct load_problem {
    const char *name; /* parameter */
    const char *text; /* without file and line */
};

struct load {
    struct arena *arena;
    struct load_line *lines;
    size_t line_count, line_cap;
    struct load_problem *problems;
    size_t problem_count, problem_cap;
};

/* Both results are the caller's: config_free, load_free. NULL with err when main.cf
 * cannot be read at all. */
struct config *load_main_cf(struct load **load_out, struct err *err);
void load_free(struct load *load);

/* The first thing that a program would refuse the configuration for; false: nothing. */
bool load_first_error(const struct load *load, const struct config *cfg,
                      struct err *err);

/* text without "FILE: " or "file FILE: " and "line N: " in front. */
const char *load_strip_place(const char *text, const char *path);

/* Put a comment sign at the start of physical lines first to last - 1 of text, so that
 * line numbers stay. */
void load_blank_lines(char *text, size_t len, int first, int last);

#endif
