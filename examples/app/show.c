#include "show.h"

#include "serve.h"

size_t best_of(const int8_t *scores, size_t count)
{
  size_t best = 0;

  for (size_t i = 1; i < count; i++) {
    if (scores[i] > scores[best]) {
      best = i;
    }
  }
  return best;
}

static void begin(void)
{
  static int32_t results;

  tc_print("result ");
  tc_print_number(results++);
  tc_print(": ");
}

static void number(int32_t value)
{
  tc_print_number(value);
  tc_print(" ");
}

static void end(const char *word)
{
  tc_print(word);
  tc_print("\n");
}

void show_result(const int8_t *scores, size_t count, const char *word)
{
  begin();
  for (size_t i = 0; i < count; i++) {
    number(scores[i]);
  }
  end(word);
}

void show_number(int32_t value, const char *word)
{
  begin();
  number(value);
  end(word);
}
