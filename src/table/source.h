/* Source text of tables, shared by postmap, postalias, texthash and the pattern tables:
 * logical lines (a line that starts with white space continues the one before; empty
 * lines and lines whose first character other than white space is '#' are skipped). */
#ifndef TABLE_SOURCE_H
#define TABLE_SOURCE_H

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

enum source_entry {
    SOURCE_ENTRY,
    SOURCE_MALFORMED, /* err: without file and line */
};
/* "key value". A key in double quotes stays as it is, quotes included (the external
 * form of an address). Both are borrowed from line. */
enum source_entry source_split_map(struct span line, struct span *key_out,
                                   struct span *value_out, struct err *err);
/* "name: value" of alias files; the name comes unquoted and must be local. */
enum source_entry source_split_alias(struct span line, struct strbuf *key_out,
                                     struct span *value_out, struct err *err);
/* Does this line look like an entry of an alias file? */
bool source_is_alias(struct span line);

#endif
