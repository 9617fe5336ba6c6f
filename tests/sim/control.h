/**
 * control.h: /sim/..., the strings a test pulls.
 */
#ifndef SIM_CONTROL_H
#define SIM_CONTROL_H

#include "sim.h"

void control_handle(struct conn *c);

#endif
