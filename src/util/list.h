/* Intrusive doubly linked list. A head is a link to itself when empty. A link
 * not in any list has next == NULL (zeroed memory is a valid unlinked link). */
#ifndef UTIL_LIST_H
#define UTIL_LIST_H

#include "util/base.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *head)
{
    head->next = head->prev = head;
}
static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}
static inline bool list_linked(const struct list *link)
{
    return link->next != NULL;
}
static inline void list_insert_between(struct list *link, struct list *prev,
                                       struct list *next)
{
    link->prev = prev;
    link->next = next;
    prev->next = link;
    next->prev = link;
}
static inline void list_append(struct list *head, struct list *link)
{
    list_insert_between(link, head->prev, head);
}
static inline void list_prepend(struct list *head, struct list *link)
{
    list_insert_between(link, head, head->next);
}
/* Safe on a link that is in no list. */
static inline void list_remove(struct list *link)
{
    if (!link->next)
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = NULL;
}
#define list_entry(link, type, member) container_of(link, type, member)
#define list_first(head, type, member)                                                 \
    (list_empty(head) ? NULL : list_entry((head)->next, type, member))
#define list_each(link, head)                                                          \
    for (struct list *link = (head)->next; link != (head); link = link->next)
/* The body may remove link. */
#define list_each_safe(link, head)                                                     \
    for (struct list *link = (head)->next, *link##_next = link->next; link != (head);  \
         link = link##_next, link##_next = link->next)

#endif
