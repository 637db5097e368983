/* How loud a signal is in each band of frequencies: what models of sound and vibration look at.
 *
 * Integers only, equal to examples/bands.py to the last bit, so that the board sees what training saw.
 */
#ifndef BANDS_H
#define BANDS_H

#include <stdint.h>

#define BANDS 24
#define BANDS_FRAME 256 /* samples of 16 bits at 8 kHz: 32 ms */

/* The level of each band in a frame: four times the binary logarithm of its power, 0 to 255. */
void bands_of(const int16_t samples[BANDS_FRAME], uint8_t levels[BANDS]);

#endif
