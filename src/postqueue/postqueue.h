#ifndef POSTQUEUE_POSTQUEUE_H
#define POSTQUEUE_POSTQUEUE_H

#include "global/queue_list.h"

/* Output of one listing. list_text: the traditional form; list_json: a JSON object a
 * line. */
struct list_output {
    const struct config *cfg;
    bool json;
    int64_t requests, bytes; /* for the last line of the traditional form */
};
bool list_print(void *arg, const struct queue_list_entry *entry);
void list_end(const struct list_output *out);

#endif
