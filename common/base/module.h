/* Parts with large libraries are shared objects, loaded when they are needed:
 * no program starts slower for what it does not use. */
#ifndef DM_BASE_MODULE_H
#define DM_BASE_MODULE_H

/* The symbol `name' of lib/dm/NAME.so, beside the program or where it was to
 * be installed; NULL if it is not there.  Stays until the program ends. */
void *module_symbol(const char *name);

#endif
