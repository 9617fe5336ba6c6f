/**
 * What protects state_file.c from a database that somebody else has written: settings of the
 * connection, a bound on the work, and the exact schema.
 *
 * SQLite runs what stands in a database: a view, a trigger, a generated column in place of a table
 * of ours would be evaluated by the first query. So nothing but the list of objects is read before
 * that list is known to be the one corral makes.
 */
#ifndef CORRAL_LIMIT_STATE_GUARD_H
#define CORRAL_LIMIT_STATE_GUARD_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

enum { STATE_FILE_MAX_MIB = 1024, STATE_OBJECT_BYTES = 128 };

/** As they are written, and as sqlite_schema holds them, letter by letter. */
extern const char state_meta_sql[];
extern const char state_counters_sql[];

/** A bound on the steps of SQLite's machine; lives as long as the connection. */
struct state_guard {
    uint64_t steps_left;
};

/** Right after opening, before the first statement: defensive settings, and the bound. */
void state_guard_begin(struct state_guard *g, sqlite3 *db);

/** From now on as many steps as `bytes` of known tables can need. */
void state_guard_allow(struct state_guard *g, uint64_t bytes);

/** The tables are known and checked: no bound on the steps any more; the settings stay. */
void state_guard_end_bound(sqlite3 *db);

enum state_schema {
    STATE_SCHEMA_EMPTY,   /* nothing in it */
    STATE_SCHEMA_OURS,    /* exactly what corral makes */
    STATE_SCHEMA_FOREIGN, /* `object` names what is not corral's */
    STATE_SCHEMA_PARTIAL, /* some of it is missing */
    STATE_SCHEMA_ERROR,   /* SQLite's error says why it could not be read */
};

enum state_schema state_guard_look(sqlite3 *db, char object[static STATE_OBJECT_BYTES]);

#endif
