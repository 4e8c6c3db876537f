/** The names that tfjs-layers gives; seen in 4.22. */
import * as tfl from '@tensorflow/tfjs-layers';
import {withMethods} from './methods';

/** How often each name of a weight or symbolic tensor was taken; null where tfjs-layers counts in another way. */
function takenNames(): Map<string, number> | null {
  const probe = 'tfjs-owlore';
  const asked: Array<Map<unknown, unknown>> = [];
  const {has} = Map.prototype;
  const watching = {
    has(this: Map<unknown, unknown>, key: unknown): boolean {
      if (key === probe) asked.push(this);
      return has.call(this, key);
    },
  };
  withMethods(
    Map.prototype,
    watching,
    () => new tfl.SymbolicTensor('float32', [], null!, [], {}, probe),
  );
  asked[0]?.delete(probe);
  return (asked[0] as Map<string, number> | undefined) ?? null;
}

/** Runs `body`, in which weights and symbolic tensors get names as if it never ran: by these the state of an optimizer is saved. */
export function withOwnNames<T>(body: () => T): T {
  const taken = takenNames();
  if (!taken) return body();
  const own = new Map<string, number>();
  const inOwn = {
    has: (name: string) => own.has(name),
    get: (name: string) => own.get(name),
    set: (name: string, count: number) => {
      own.set(name, count);
      return taken;
    },
  };
  return withMethods(taken, inOwn, body);
}
