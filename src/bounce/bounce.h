/* bounce(8), defer(8), trace(8): one program, the service name says which log it
 * keeps. A log is a text file named by the queue id; a notification is made of it when
 * qmgr is done with the message. */
#ifndef BOUNCE_BOUNCE_H
#define BOUNCE_BOUNCE_H

#include "global/bounce_client.h"
#include "global/bounce_log.h"
#include "global/cleanup_client.h"
#include "global/queue.h"
#include "master/service.h"

enum bounce_kind { KIND_FAILURE, KIND_DELAY, KIND_SUCCESS, KIND_VERIFY, KIND_COUNT };

/* The text of a notification, from bounce_template_file or built in. */
struct bounce_template {
    const char *charset, *from, *subject, *postmaster_subject;
    const char *body; /* lines; parameters are not yet expanded */
};

struct bounce_service {
    const struct config *cfg;
    struct arena *arena;
    struct queue queue;
    struct cleanup_client *cleanup;
    const char *log_queue; /* directory of the service's own logs */
    struct bounce_template templates[KIND_COUNT];
};

/* A request for notifications. */
struct bounce_message {
    struct bounce_service *bs;
    struct arena *arena;
    const char *queue_name, *queue_id;
    struct envelope env;
    struct bounce_entry *entries;
    size_t count;
    int fd; /* the message's queue file, or -1 */
};

/* bounce_template.c */
void bounce_templates_init(struct bounce_service *bs);
/* The body with parameters expanded, in lines joined by \n. */
const char *bounce_template_body(struct bounce_service *bs, enum bounce_kind kind,
                                 struct arena *arena);

/* bounce_notify.c: write and queue one notification. False: try again later. */
bool bounce_send(struct bounce_message *msg, enum bounce_kind kind, const char *sender,
                 const char *recipient, bool to_postmaster, char id_out[QUEUE_ID_MAX]);

#endif
