/* The message as records for postdrop: envelope, content, and recipients found in
 * headers. */
#ifndef SENDMAIL_COMPOSE_H
#define SENDMAIL_COMPOSE_H

#include "global/config.h"
#include "sendmail/input.h"
#include "sendmail/options.h"

struct envelope_source {
    const char *sender; /* internal form, "" for the null sender */
    const char *full_name;
    const char *const *recipients; /* internal form, NULL-terminated */
    size_t recipient_count;
};

/* Where records go; false: no more can be written. */
struct record_sink {
    bool (*write)(void *arg, struct span records);
    void *arg;
};

enum compose_result {
    COMPOSE_OK,
    COMPOSE_NO_RECIPIENTS, /* -t, and the header had none */
    COMPOSE_READ_ERROR,    /* in->error */
    COMPOSE_WRITE_ERROR,
};

/* Addresses of one argument or header value, internal form, appended to the list. */
struct address_list {
    struct arena *arena;
    const char **items; /* NULL-terminated once something was added */
    size_t count, cap;
};
void address_list_add(struct address_list *list, struct span text);

/* From in (not used for MODE_VERIFY) to the end record. Without recipients from the
 * header no end record is written: postdrop then drops what it has. */
enum compose_result compose(const struct config *cfg,
                            const struct sendmail_options *options,
                            const struct envelope_source *env, struct input *in,
                            const struct record_sink *sink);

#endif
