import * as tf from '@tensorflow/tfjs-core';
import {termKind, FactoredGradient, type GradientTerm} from '../../../tape/factored_gradient';
import {TERM_NAME as NAME} from './saved_names';
import type {NamedTensor} from './variables';

/** Whether a saved tensor belongs to a factored sum of gradients. */
export function isTermName(name: string): boolean {
  return NAME.test(name);
}

/** Whether {@link termTensors} has made a tensor; the others are the state's own. */
export function isNewTensor(name: string): boolean {
  return NAME.test(name) && NAME.exec(name)![2] === undefined;
}

/** A factored sum as named tensors. That of its shape is new; the caller disposes of it. */
export function termTensors(
  variable: string,
  {shape, axis, terms}: FactoredGradient,
): NamedTensor[] {
  const named = terms.flatMap(({kind, tensors}) =>
    Object.entries(tensors).map(([name, tensor]) => ({
      name: `${variable}/owlore.terms.${kind.name}.${name}`,
      tensor,
    })),
  );
  return [
    {name: `${variable}/owlore.terms.shape`, tensor: tf.tensor1d([...shape, axis])},
    ...named,
  ];
}

/**
 * The factored sums, by variable, that {@link termTensors} has made tensors of. They are over these tensors, which stay the caller's.
 *
 * @throws Error if tensors are missing, of an unknown kind, or do not fit together.
 */
export async function termsFromTensors(
  saved: readonly NamedTensor[],
): Promise<Map<string, FactoredGradient>> {
  const byVariable = new Map<string, NamedTensor[]>();
  for (const named of saved) {
    const variable = NAME.exec(named.name)![1]!;
    byVariable.set(variable, [...(byVariable.get(variable) ?? []), named]);
  }
  const sums = new Map<string, FactoredGradient>();
  for (const [variable, tensors] of byVariable) sums.set(variable, await sumOf(variable, tensors));
  return sums;
}

async function sumOf(variable: string, saved: readonly NamedTensor[]): Promise<FactoredGradient> {
  const kinds = new Map<string, Record<string, tf.Tensor>>();
  let numbers: number[] = [];
  for (const {name, tensor} of saved) {
    const [, , kind, part] = NAME.exec(name)!;
    check(tensor.dtype === 'float32', name, `must be float32; got ${tensor.dtype}`);
    if (kind === undefined) numbers = Array.from(await tensor.data<'float32'>());
    else kinds.set(kind, {...kinds.get(kind), [part!]: tensor});
  }
  const [rows, columns, axis] = numbers as [number, number, number];
  const isSize = (x: number): boolean => Number.isInteger(x) && x > 0;
  check(
    numbers.length === 3 && isSize(rows) && isSize(columns) && (axis === 0 || axis === 1),
    `${variable}/owlore.terms.shape`,
    `must be two sizes and 0 or 1; got [${numbers.join(', ')}]`,
  );
  const width = axis === 0 ? columns : rows;
  const terms = [...kinds].map(([name, tensors]) =>
    termOf(`${variable}/owlore.terms`, name, tensors, width),
  );
  check(terms.length > 0, `${variable}/owlore.terms.shape`, 'has no terms beside it');
  return new FactoredGradient([rows, columns], axis, terms);
}

function termOf(
  owner: string,
  name: string,
  tensors: Record<string, tf.Tensor>,
  width: number,
): GradientTerm {
  const kind = termKind(name);
  check(
    kind !== undefined,
    `${owner}.${name}`,
    "is of a kind that is not known here; import 'tfjs-owlore/llama', which made it,",
  );
  const names = Object.keys(kind.axes);
  const given = Object.keys(tensors);
  check(
    names.length === given.length && names.every((each) => each in tensors),
    `${owner}.${name}`,
    `must have ${names.join(', ')}; it has ${given.join(', ')}`,
  );
  const [length] = tensors[names[0]!]!.shape;
  for (const [each, axes] of Object.entries(kind.axes)) {
    const shape = axes === 1 ? [length] : [length, width];
    const got = tensors[each]!.shape;
    check(
      tf.util.arraysEqual(got, shape),
      `${owner}.${name}.${each}`,
      `must have the shape [${shape}]; got [${got}]`,
    );
  }
  return {kind, tensors};
}

function check(isRight: boolean, name: string, what: string): asserts isRight {
  if (!isRight) throw new Error(`OwLoreOptimizer: '${name}' ${what}; nothing was loaded`);
}
