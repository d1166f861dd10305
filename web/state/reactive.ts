// Fields that components and effects follow.

import { signal } from "@preact/signals";

/** Makes each of these a field of an object. A component, computed signal or effect that reads one runs again when it changes. */
export function reactive<T extends object, K extends keyof T>(object: T, fields: Pick<T, K>) {
  for (const key of Object.keys(fields) as K[]) {
    const field = signal(fields[key]);
    Object.defineProperty(object, key, {
      enumerable: true,
      get: () => field.value,
      set: (value: T[K]) => (field.value = value),
    });
  }
}
