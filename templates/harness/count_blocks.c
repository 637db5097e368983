/* Host library that the emulator calls at the start of every basic block: counts blocks in the window that is open.
 *
 * A window opens when the function `open` is called with its number and closes when `close` is; the blocks of both
 * belong to no window. A block is left by its branch (taken) or by falling through its end. */
#include <stdint.h>
#include <stdlib.h>

typedef struct {
  uint32_t address, size, window, taken;
  uint64_t count;
} entry_t;

typedef int (*read_register_t)(void *engine, int number, void *value);

typedef struct {
  entry_t *table; /* open addressing; count 0 is a free place */
  uint64_t places, used;
  uint64_t *opened; /* times that each window was opened */
  uint32_t windows, window, open, close;
  uint32_t last_address, last_size; /* the block that runs, size 0 outside windows */
  int inside, argument; /* argument: the emulator's number of the register that holds the window */
  int failed;           /* 1: no memory; 2: a window opened inside another, or one that does not exist */
  read_register_t read_register;
} counter_t;

static entry_t *find(entry_t *table, uint64_t places, uint32_t address, uint32_t size, uint32_t window, uint32_t taken)
{
  uint64_t at = ((uint64_t)address << 1 | taken) * 0x9E3779B97F4A7C15u + (uint64_t)window * 0xC2B2AE3D27D4EB4Fu;
  for (at ^= at >> 29;; at++) {
    entry_t *e = &table[at & (places - 1)];
    if (e->count == 0 || (e->address == address && e->size == size && e->window == window && e->taken == taken)) return e;
  }
}

static int grow(counter_t *c)
{
  const uint64_t places = c->places * 2;
  entry_t *table = calloc(places, sizeof *table);
  if (table == NULL) return 0;
  for (uint64_t i = 0; i < c->places; i++) {
    const entry_t *e = &c->table[i];
    if (e->count != 0) *find(table, places, e->address, e->size, e->window, e->taken) = *e;
  }
  free(c->table);
  c->table = table;
  c->places = places;
  return 1;
}

static void add(counter_t *c, uint32_t address, uint32_t size, uint32_t taken)
{
  entry_t *e = find(c->table, c->places, address, size, c->window, taken);
  if (e->count++ != 0) return;
  *e = (entry_t){address, size, c->window, taken, 1};
  if (++c->used * 2 > c->places && !grow(c)) c->failed = 1;
}

counter_t *counter_new(uint32_t windows, uint32_t open, uint32_t close, read_register_t read_register, int argument)
{
  counter_t *c = calloc(1, sizeof *c);
  if (c == NULL) return NULL;
  c->places = 1u << 16;
  c->table = calloc(c->places, sizeof *c->table);
  c->opened = calloc(windows, sizeof *c->opened);
  c->windows = windows;
  c->open = open;
  c->close = close;
  c->read_register = read_register;
  c->argument = argument;
  c->failed = c->table == NULL || c->opened == NULL;
  return c;
}

void counter_block(void *engine, uint64_t address, uint32_t size, void *data)
{
  counter_t *c = data;
  if (c->failed) return;
  if (c->last_size != 0) add(c, c->last_address, c->last_size, (uint32_t)address != c->last_address + c->last_size);
  c->last_size = 0;
  if (address == c->open) {
    uint32_t window = 0;
    c->read_register(engine, c->argument, &window);
    if (window >= c->windows || c->inside) {
      c->failed = 2;
      return;
    }
    c->window = window;
    c->opened[window]++;
    c->inside = 1;
  } else if (address == c->close) {
    c->inside = 0;
  } else if (c->inside) {
    c->last_address = (uint32_t)address;
    c->last_size = size;
  }
}

int counter_failed(const counter_t *c) { return c->failed; }

uint64_t counter_used(const counter_t *c) { return c->used; }

uint64_t counter_opened(const counter_t *c, uint32_t window) { return c->opened[window]; }

/* All entries, counter_used() of them. */
void counter_entries(const counter_t *c, entry_t *out)
{
  for (uint64_t i = 0; i < c->places; i++) {
    if (c->table[i].count != 0) *out++ = c->table[i];
  }
}

void counter_free(counter_t *c)
{
  if (c == NULL) return;
  free(c->table);
  free(c->opened);
  free(c);
}
