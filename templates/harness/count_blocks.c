/* Host library that the emulator calls at the start of every basic block: counts blocks by the window they begin in.
 *
 * Marks are code addresses that open and close windows. The one called `whole` is a run's; those within it, a layer's,
 * give way to it again when they close. A mark may be met once more without harm, as at the head of a loop. A block is
 * left by its branch (taken) or by falling through its end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

typedef struct {
  uint32_t address, size, window, taken;
  uint64_t count;
} entry_t;

typedef struct {
  uint32_t address, window, opens;
} mark_t;

typedef struct {
  entry_t *table; /* open addressing; count 0 is a free place */
  uint64_t places, used;
  mark_t *marks; /* by address */
  uint32_t marks_count, whole, window;
  uint32_t last_address, last_size, last_window; /* the block that runs; size 0: it counts nowhere */
  int failed;                                    /* no memory */
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

static void add(counter_t *c, uint32_t taken)
{
  entry_t *e = find(c->table, c->places, c->last_address, c->last_size, c->last_window, taken);
  if (e->count++ != 0) return;
  *e = (entry_t){c->last_address, c->last_size, c->last_window, taken, 1};
  if (++c->used * 2 > c->places && !grow(c)) c->failed = 1;
}

counter_t *counter_new(const mark_t *marks, uint32_t count, uint32_t whole)
{
  counter_t *c = calloc(1, sizeof *c);
  if (c == NULL) return NULL;
  c->places = 1u << 12;
  c->table = calloc(c->places, sizeof *c->table);
  c->marks = calloc(count + 1u, sizeof *c->marks);
  c->whole = whole;
  c->window = NONE;
  c->failed = c->table == NULL || c->marks == NULL;
  if (c->failed) return c;
  memcpy(c->marks, marks, count * sizeof *marks);
  c->marks_count = count;
  return c;
}

/* The first mark at or after the address. */
static uint32_t first_mark(const counter_t *c, uint32_t address)
{
  uint32_t low = 0, high = c->marks_count;
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    if (c->marks[middle].address < address) low = middle + 1;
    else high = middle;
  }
  return low;
}

static uint32_t after(const counter_t *c, uint32_t window, const mark_t *m)
{
  if (m->window == c->whole) return !m->opens ? NONE : window == NONE ? c->whole : window;
  return m->opens ? m->window : window == m->window ? c->whole : window;
}

void counter_block(void *engine, uint64_t address, uint32_t size, void *data)
{
  counter_t *c = data;
  (void)engine;
  if (c->failed) return;
  if (c->last_size != 0) add(c, (uint32_t)address != c->last_address + c->last_size);
  const uint32_t window = c->window;
  uint32_t i = first_mark(c, (uint32_t)address);
  const int marked = i < c->marks_count && c->marks[i].address < address + size;
  for (; i < c->marks_count && c->marks[i].address < address + size; i++) c->window = after(c, c->window, &c->marks[i]);
  c->last_size = marked || window != NONE ? size : 0;
  c->last_address = (uint32_t)address;
  c->last_window = window;
}

/* The run is over: the block that ended it counts too. 0, or 1 where memory was short. */
int counter_end(counter_t *c)
{
  if (!c->failed && c->last_size != 0) add(c, 0);
  c->last_size = 0;
  return c->failed;
}

uint64_t counter_used(const counter_t *c) { return c->used; }

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
  free(c->marks);
  free(c);
}
