/* Zephyr's places for variables, as far as the application uses them. */
#ifndef ZEPHYR_LINKER_SECTION_TAGS_H
#define ZEPHYR_LINKER_SECTION_TAGS_H

#define __dtcm_noinit_section __attribute__((section(".dtcm_noinit")))

#endif
