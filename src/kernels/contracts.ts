import * as tf from '@tensorflow/tfjs-core';
import {KernelArguments, type Contract} from './kernel_arguments';
import * as own from './kernel_names';
import {llamaContracts} from './llama/contracts';
import {tfjsContracts} from './tfjs_contracts';

/*
 * The valid arguments of each kernel of this library, on every backend; `kernel_names` says what the sizes mean. Unchecked, a
 * kernel of wasm would read and write memory by wrong sizes, and TensorFlow would broadcast them.
 */
const ownContracts: Readonly<Record<string, Contract>> = {
  [own.OwLoreProject]: (given) => {
    const [rows, columns] = given.matrix('gradient');
    const isLeft = given.oneOf('side', own.SIDES) === 'left';
    given.match('basis', [isLeft ? rows : columns, null]);
  },
  [own.OwLoreRefresh]: (given) => {
    given.flag('scalesDirections');
    given.list('refreshes').forEach((attrs, i) => refreshed(given.numbered(i, attrs)));
  },
  [own.OwLoreAdam]: (given) => {
    given.scalar('clip');
    given.scalar('allFinite', 'bool');
    given.fraction('beta1', 'beta2');
    given.list('updates').forEach((update, i) => adamUpdate(given.numbered(i, update)));
  },
  [own.OwLoreAddRows]: (given) => {
    const [, width] = given.matrix('x');
    const [n] = given.match('ids', [null], 'int32');
    given.match('values', [n!, width]);
    given.flag('isSoleOwner');
  },
  [own.OwLoreAccumulate]: (given) => given.alike(given.shape('sum'), 'x'),
  [own.OwLoreSquaredNorm]: (given) => void given.shape('x'),
  [own.OwLoreOrthonormalize]: tallMatrix,
  [own.OwLoreNearlyOrthonormalize]: tallMatrix,
  [own.OwLoreLeftSingularVectors]: (given) => void given.matrix('matrix'),
  [own.OwLoreMagnitudeSums]: weightAndNorm,
  [own.OwLoreCountAbove]: (given) => {
    weightAndNorm(given);
    const thresholds = given.attr('thresholds');
    const isNumber = (x: unknown): boolean => typeof x === 'number' && !Number.isNaN(x);
    if (Array.isArray(thresholds) && thresholds.every(isNumber)) return;
    given.fail("attribute 'thresholds' must be an array of numbers, none of them NaN");
  },
  [own.OwLorePackBfloat16]: (given) => {
    given.shape('x');
    if (given.integer('seed', 0) >= 2 ** 32) given.fail("attribute 'seed' must be below 2³²");
  },
  [own.OwLoreUnpackBfloat16]: (given) => {
    const shape = given.anySizes('shape');
    given.match('packed', [Math.ceil(tf.util.sizeFromShape([...shape]) / 2)], 'int32');
  },
};

export const contracts = {...ownContracts, ...llamaContracts, ...tfjsContracts};

/**
 * A kernel that first checks its arguments.
 *
 * @throws Error if there is no contract for a kernel of this name.
 */
export function guarded(
  kernelName: string,
  backendName: string,
  kernelFunc: tf.KernelFunc,
): tf.KernelFunc {
  const contract = contracts[kernelName];
  if (!contract) throw new Error(`contracts.ts does not say what ${kernelName} may be given`);
  // a kernel of this library would silently ignore a weight that it does not know
  const isOwn = !Object.hasOwn(tfjsContracts, kernelName);
  return (args) => {
    const given = new KernelArguments(kernelName, backendName, args.inputs, args.attrs);
    contract(given);
    if (isOwn) given.refuseOthers();
    return kernelFunc(args);
  };
}

/** One of the gradients of {@link own.OwLoreRefresh}. */
function refreshed(given: KernelArguments): void {
  const [rows, columns] = given.matrix('gradient');
  const m = given.oneOf('side', own.SIDES) === 'left' ? rows : columns;
  const [, rank] = given.match('random', [m, null]);
  if (rank === 0) given.refuse('random', 'must have a column');
  if (rank! > Math.min(rows, columns)) {
    given.refuse(
      'random',
      `must have at most ${Math.min(rows, columns)} columns, as the gradient has directions`,
    );
  }
  if (given.has('previous')) given.match('previous', [m, rank!]);
  given.integer('multiplications', 0);
}

/** One of the updates of {@link own.OwLoreAdam}. */
function adamUpdate(given: KernelArguments): void {
  const isProjected = given.has('basis') || given.attr('side') !== undefined;
  if (isProjected) subspace(given, 'first', 'second', 'gradient');
  else given.alike(given.shape('variable'), 'first', 'second', 'gradient');
  given.finite(-Infinity, 'rate', 'decay');
  given.finite(0, 'epsilon');
}

/** A matrix and the tensors in the subspace of its basis. */
function subspace(given: KernelArguments, ...projected: string[]): void {
  const [rows, columns] = given.matrix('variable');
  const isLeft = given.oneOf('side', own.SIDES) === 'left';
  const [, rank] = given.match('basis', [isLeft ? rows : columns, null]);
  if (rank === 0) given.refuse('basis', 'must have a column');
  given.alike(isLeft ? [rank!, columns] : [rows, rank!], ...projected);
}

function tallMatrix(given: KernelArguments): void {
  const [rows, columns] = given.matrix('matrix');
  if (rows < columns) {
    given.fail(`matrix must be [rows, columns] with rows >= columns; got [${rows},${columns}]`);
  }
}

function weightAndNorm(given: KernelArguments): void {
  const [weight, norm] = [given.shape('weight'), given.shape('norm')];
  const [size, norms] = [tf.util.sizeFromShape([...weight]), tf.util.sizeFromShape([...norm])];
  if (norms === size || norms === tf.util.sizeFromShape(weight.slice(0, -1))) return;
  given.fail(
    `input 'norm' must have a number for each entry or each row of weight [${weight}]; got [${norm}]`,
  );
}
