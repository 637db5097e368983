/* The sensor of the examples: a recording in flash, which run.py has made. On a board, write sensor_read for yours. */
#ifndef SENSOR_H
#define SENSOR_H

#include <stddef.h>

/* Fills `data` with the next `size` bytes, in the order in which the sensor delivers them. 0 when there are no more. */
int sensor_read(void *data, size_t size);

#endif
