/* What a regular expression says about the text that it matches: literal words, of
 * which one must occur for there to be a match. Conservative: what the little parser
 * here does not know for certain asks for nothing, so that a filter made of the words
 * can only pass too much. Words are in lower case, for a text in lower case (ASCII). */
#ifndef TABLE_PATTERN_LITERAL_H
#define TABLE_PATTERN_LITERAL_H

#include "util/arena.h"

enum pattern_syntax {
    PATTERN_POSIX, /* extended regular expressions, as glibc reads them */
    PATTERN_PCRE,  /* without the x flag */
};

#define WORDS_MAX    16 /* in a list */
#define WORD_LEN_MAX 40

/* A matching text holds at least one of them. */
struct word_list {
    size_t count;
    struct span word[WORDS_MAX]; /* none is empty */
};

struct word_lists {
    const struct word_list *list;
    struct word_lists *next;
};

/* Every list holds; NULL: nothing is known. Allocated in arena, text included. */
struct word_lists *pattern_literals(struct arena *arena, enum pattern_syntax syntax,
                                    const char *text);

#endif
