/* The text fields of struct envelope as a table: one name serves as queue file
 * attribute and as frame attribute. Private to envelope*.c. */
#ifndef GLOBAL_ENVELOPE_FIELD_H
#define GLOBAL_ENVELOPE_FIELD_H

#include "global/envelope.h"

struct envelope_text {
    const char *name;
    size_t name_len;
    size_t offset;  /* of the const char * in struct envelope */
    bool file_attr; /* may stand in an A record under this name */
};
extern const struct envelope_text envelope_texts[];
extern const size_t envelope_text_count;

static inline const char **envelope_text_slot(struct envelope *env,
                                              const struct envelope_text *text)
{
    return (const char **)(void *)((char *)env + text->offset);
}

/* The field of that name, or NULL. */
const struct envelope_text *envelope_text_find(struct span name);
/* All texts "", rewrite_context "local". */
void envelope_init(struct envelope *env);

#endif
