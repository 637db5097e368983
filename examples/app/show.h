/* What the examples print: a line for each result. */
#ifndef SHOW_H
#define SHOW_H

#include <stddef.h>
#include <stdint.h>

/* The index of the highest score. */
size_t best_of(const int8_t *scores, size_t count);

/* "result 3: -128 127 -128 word", numbered from 0. */
void show_result(const int8_t *scores, size_t count, const char *word);

/* "result 3: 4711 word". */
void show_number(int32_t value, const char *word);

#endif
