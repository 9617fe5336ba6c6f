/**
 * A thread that does for main what may take long: reading and checking files. One job at a time;
 * main hears of its end by mail, and touches what the job works on only before and after it.
 */
#ifndef CORRAL_APP_HELPER_H
#define CORRAL_APP_HELPER_H

#include <stdbool.h>
#include <stdint.h>

struct helper;
struct worker;

/** Starts the thread, with all signals blocked. Mail of `mail_kind` goes to main at each end. */
struct helper *helper_create(struct worker *main_worker, uint32_t mail_kind);

/** Do `work(arg)`; not while another job is under way. */
void helper_run(struct helper *h, void (*work)(void *arg), void *arg);

/**
 * End the thread after the job under way, and free.
 *
 * @return false: the job has not ended within HELPER_PATIENCE_S (a file system that hangs). Then
 *         the thread lives on, and nothing that it may use can be freed.
 */
enum { HELPER_PATIENCE_S = 3 };
bool helper_destroy(struct helper *h);

#endif
