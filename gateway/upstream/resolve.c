#include "upstream/resolve.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

struct question {
    char *host; /* owned; NULL: not asked */
    uint16_t port;
    struct net_address *answer; /* owned */
    size_t answer_count;
};

struct resolver {
    struct worker *worker;
    uint32_t mail_kind;
    pthread_t thread;
    pthread_mutex_t lock; /* guards all below; not held while resolving */
    pthread_cond_t wake;
    struct question questions[RESOLVE_MAX_NAMES];
    bool stop;
};

static size_t look_up(const char *host, uint16_t port, struct net_address *out)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char service[8];
    size_t count = 0;

    snprintf(service, sizeof(service), "%u", (unsigned)port);
    if (getaddrinfo(host, service, &hints, &list) != 0) {
        return 0;
    }
    for (struct addrinfo *a = list; a != NULL && count < RESOLVE_MAX_ADDRESSES; a = a->ai_next) {
        if (a->ai_family == AF_INET || a->ai_family == AF_INET6) {
            out[count] = (struct net_address){.len = a->ai_addrlen};
            memcpy(&out[count].storage, a->ai_addr, a->ai_addrlen);
            count++;
        }
    }
    freeaddrinfo(list);
    return count;
}

static struct question *next_question(struct resolver *r)
{
    for (size_t i = 0; i < RESOLVE_MAX_NAMES; i++) {
        if (r->questions[i].host != NULL) {
            return &r->questions[i];
        }
    }
    return NULL;
}

static void answer(struct resolver *r, struct question *q, const struct net_address *found,
                   size_t count)
{
    free(q->host);
    free(q->answer);
    q->host = NULL;
    q->answer = xcalloc(count == 0 ? 1 : count, sizeof(*q->answer));
    memcpy(q->answer, found, count * sizeof(*found));
    q->answer_count = count;
    worker_mail(r->worker,
                &(struct mail){.kind = r->mail_kind, .index = (uint32_t)(q - r->questions)});
}

static void *run(void *arg)
{
    struct resolver *r = arg;
    struct net_address *found = xcalloc(RESOLVE_MAX_ADDRESSES, sizeof(*found));

    pthread_mutex_lock(&r->lock);
    while (!r->stop) {
        struct question *q = next_question(r);

        if (q == NULL) {
            pthread_cond_wait(&r->wake, &r->lock);
            continue;
        }
        char *host = xstrdup(q->host);
        uint16_t port = q->port;

        pthread_mutex_unlock(&r->lock);
        size_t count = look_up(host, port, found);

        pthread_mutex_lock(&r->lock);
        if (q->host != NULL && strcmp(q->host, host) == 0 && q->port == port) {
            answer(r, q, found, count); /* else it asks for another name by now */
        }
        free(host);
    }
    pthread_mutex_unlock(&r->lock);
    free(found);
    return NULL;
}

struct resolver *resolver_create(struct worker *w, uint32_t mail_kind)
{
    struct resolver *r = xcalloc(1, sizeof(*r));

    r->worker = w;
    r->mail_kind = mail_kind;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->wake, NULL);
    if (pthread_create(&r->thread, NULL, run, r) != 0) {
        mem_exhausted();
    }
    return r;
}

void resolver_destroy(struct resolver *r)
{
    if (r == NULL) {
        return;
    }
    pthread_mutex_lock(&r->lock);
    r->stop = true;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    for (size_t i = 0; i < RESOLVE_MAX_NAMES; i++) {
        free(r->questions[i].host);
        free(r->questions[i].answer);
    }
    pthread_cond_destroy(&r->wake);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void resolver_ask(struct resolver *r, uint32_t question, const char *host, uint16_t port)
{
    pthread_mutex_lock(&r->lock);
    struct question *q = &r->questions[question % RESOLVE_MAX_NAMES];

    if (q->host == NULL || strcmp(q->host, host) != 0 || q->port != port) {
        free(q->host);
        q->host = xstrdup(host);
        q->port = port;
        q->answer_count = 0; /* an answer to an older question is none to this one */
        pthread_cond_signal(&r->wake);
    }
    pthread_mutex_unlock(&r->lock);
}

size_t resolver_take(struct resolver *r, uint32_t question,
                     struct net_address out[static RESOLVE_MAX_ADDRESSES])
{
    pthread_mutex_lock(&r->lock);
    const struct question *q = &r->questions[question % RESOLVE_MAX_NAMES];
    size_t count = q->answer_count;

    if (count > 0) {
        memcpy(out, q->answer, count * sizeof(*out));
    }
    pthread_mutex_unlock(&r->lock);
    return count;
}
