/* Starts a program on a Cortex-M4: the table of vectors, the floating-point unit, constants of the data section, then newlib. */
#include <stdint.h>
#include <string.h>

extern uint8_t __data_start, __data_end, __data_load, __stack;
extern void _start(void);
void reset(void);

void reset(void)
{
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: full access to the FPU */
    __asm volatile("dsb\n isb");
    memcpy(&__data_start, &__data_load, (size_t)(&__data_end - &__data_start));
    _start();
}

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[] = {(uintptr_t)&__stack, (uintptr_t)reset};
