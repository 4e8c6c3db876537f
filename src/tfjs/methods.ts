import * as tf from '@tensorflow/tfjs-core';

/**
 * Replaces methods of an object, by properties of its own. The object may be a prototype: then everything that inherits from it
 * has the new methods.
 *
 * @returns A function that puts back what the object had: a property of its own, or none where it inherits the method. If a method
 *   is replaced twice, the later replacement must be put back first.
 * @throws Error if the object has no method of that name: tfjs is built differently from what this library knows. Nothing was
 *   changed then.
 */
export function replaceMethods<T extends object>(object: T, methods: Partial<T>): () => void {
  const names = Object.keys(methods) as Array<keyof T & string>;
  const missing = names.find((name) => typeof object[name] !== 'function');
  if (missing !== undefined) {
    throw new Error(
      `tfjs-owlore: there is no method '${missing}' where tfjs-core 4.22 and tfjs-layers 4.22 have one (this is tfjs-core ` +
        `${tf.version_core}); use 4.22`,
    );
  }
  const before = names.map((name) => Object.getOwnPropertyDescriptor(object, name));
  Object.assign(object, methods);
  return () => {
    names.forEach((name, i) => {
      const own = before[i];
      if (own) Object.defineProperty(object, name, own);
      else Reflect.deleteProperty(object, name);
    });
  };
}

/** Runs `body` while methods of an object are replaced, see {@link replaceMethods}; they are put back also if `body` throws. */
export function withMethods<T extends object, Result>(
  object: T,
  methods: Partial<T>,
  body: () => Result,
): Result {
  const putBack = replaceMethods(object, methods);
  try {
    return body();
  } finally {
    putBack();
  }
}
