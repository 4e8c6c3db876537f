import * as tf from '@tensorflow/tfjs-core';

/**
 * Gives an object of tfjs other methods, as properties of its own. A prototype may be the object, too: then all that have it
 * as theirs have the new methods.
 *
 * @returns Puts back what the object had: a property of its own, or none where it inherits the method. Whoever replaces the same
 *   method twice puts the second one back first.
 * @throws Error if the object has no method of such a name: tfjs is built otherwise than this library knows it. Nothing was changed
 *   then.
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

/** Runs `body` while an object has other methods, see {@link replaceMethods}; it has its own again also if `body` throws. */
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
