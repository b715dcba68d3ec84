/* Source text of tables, shared by postmap, postalias, texthash and the pattern tables:
 * logical lines (a line that starts with white space continues the one before; empty
 * lines and lines whose first character other than white space is '#' are skipped). */
#ifndef TABLE_SOURCE_H
#define TABLE_SOURCE_H

#include <sys/stat.h>

#include "util/err.h"
#include "util/strbuf.h"

struct source {
    const char *path; /* for messages */
    struct span text; /* all of it */
    size_t pos;
    int line; /* of the logical line returned last: where it starts */
    int next_line;
    struct strbuf buf;
};

void source_init(struct source *src, const char *path, struct span text);
void source_free(struct source *src);
/* Borrowed until the next call; trailing white space removed. */
bool source_line(struct source *src, struct span *line_out);
/* False, with a warning: a first line that is indented continues nothing. */
bool source_line_begins(const struct source *src, struct span line);

/* A whole file into text, read again when it changes meanwhile: half an edit is no
 * table. st_out may be NULL. err: only the reason. */
bool source_read(const char *path, size_t max, struct strbuf *text, struct stat *st_out,
                 struct err *err);

/* The same from a descriptor, once. */
bool source_read_fd(int fd, size_t max, struct strbuf *text, struct err *err);

enum source_syntax {
    SOURCE_MALFORMED, /* err: without file and line */
    SOURCE_ENTRY,
};
/* "key value". A key in double quotes stays as it is, quotes included (the external
 * form of an address); a backslash protects the next character. Both are borrowed
 * from line. */
enum source_syntax source_split_map(struct span line, struct span *key_out,
                                    struct span *value_out, struct err *err);
/* "name: value" of alias files. The line is read as tokens of a mail header: the name
 * comes unquoted and must be local; the value is put together again with one space
 * where there was some. Both buffers are overwritten. */
enum source_syntax source_split_alias(struct span line, struct strbuf *key,
                                      struct strbuf *value, struct err *err);
/* Does this line look like an entry of an alias file? */
bool source_is_alias(struct span line);

/* Entries of a whole source. Lines that are no entry are logged and skipped; a NUL
 * ends its line. */
enum source_style {
    SOURCE_MAP,
    SOURCE_ALIAS,
};
struct source_entries {
    struct source src;
    enum source_style style;
    bool utf8;              /* skip lines that are not UTF-8 */
    const char *bad_suffix; /* more text for warnings about lines without a value */
    struct strbuf key, value;
};

void source_entries_init(struct source_entries *entries, const char *path,
                         struct span text, enum source_style style, bool utf8);
void source_entries_free(struct source_entries *entries);
/* Borrowed until the next call. entries->src.line is where the entry starts. */
bool source_entries_next(struct source_entries *entries, struct span *key_out,
                         struct span *value_out);

#endif
