/**
 * meta.h: routes that run nothing: lists, show, version, and the admin routes, which answer simply.
 */
#ifndef SIM_META_H
#define SIM_META_H

struct conn;

void meta_root(struct conn *c);
void meta_version(struct conn *c);
void meta_status(struct conn *c);
void meta_tags(struct conn *c);
void meta_ps(struct conn *c);
void meta_show(struct conn *c);
void meta_models(struct conn *c);
void meta_model(struct conn *c);
void meta_progress(struct conn *c);
void meta_empty(struct conn *c);
void meta_blob(struct conn *c);

#endif
