/**
 * Intrusive doubly linked list. The head and every link are a `struct list`; an empty head and an
 * unlinked link point to themselves, so unlinking twice is harmless.
 */
#ifndef CORRAL_BASE_LIST_H
#define CORRAL_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

struct list {
    struct list *next;
    struct list *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l;
    l->prev = l;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_push_back(struct list *head, struct list *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

static inline void list_push_front(struct list *head, struct list *link)
{
    list_push_back(head->next, link);
}

static inline void list_unlink(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/** The first link taken off, or NULL when the list is empty. */
static inline struct list *list_pop_front(struct list *head)
{
    struct list *first = head->next;

    if (first == head) {
        return NULL;
    }
    list_unlink(first);
    return first;
}

/** Move all links of `from` to the end of `to`; `from` is empty afterwards. */
static inline void list_splice_back(struct list *to, struct list *from)
{
    if (list_empty(from)) {
        return;
    }
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/** Walk; the body may unlink or free `link` itself, but not its neighbour. */
#define LIST_EACH(link, next_link, head)                                                           \
    for (struct list *link = (head)->next, *next_link = link->next; link != (head);                \
         link = next_link, next_link = link->next)

#endif
