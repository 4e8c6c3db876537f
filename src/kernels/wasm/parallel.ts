/**
 * Functions of the SIMD module in parts, for several threads. A part computes the same numbers in the same order as the whole does, so
 * that results are the same bits with any number of threads.
 */
import type {SimdModule} from './binaries';
import type {FunctionName, ThreadPool, Workspace} from './thread_pool';

/** The arguments of a function of the module. */
type Named<Name extends FunctionName> = Parameters<SimdModule[Name]>[0];

/** How a call is cut into parts. */
interface Cut<Args> {
  /** The argument that counts what is shared out. */
  along: keyof Args & string;
  /** What a part moves of the other arguments, by each that the parts before it have: most are addresses, in bytes. */
  steps: Partial<Record<keyof Args, number>>;
  /** How many go together; default 1. */
  together?: number;
  /** Whether the whole takes so long, 0.1 ms or more, that it is worth it. */
  isWorth: boolean;
  /** No part is as small as this, because it would be computed in another order. */
  tooFew?: number;
  /** An argument that is memory to work in; whoever calls has taken {@link threadsOf} times its bytes. */
  workspace?: Workspace;
}

/** Calls that take 0.1 ms: in multiplications, in weights that are read, in numbers that are read and written, and in exponentials. */
const [MIN_PRODUCTS, MIN_WEIGHTS, MIN_NUMBERS, MIN_EXPONENTIALS] = [1e6, 2 ** 18, 2 ** 16, 2 ** 14];

/** Numbers of whole vectors; and rows and columns of whole tiles, of both kinds. */
const [VECTORS, TILES] = [16, 24];

/** Up to this many rows a product is summed up in another order. */
const FEW_ROWS = 8;

/** Of each function that is cut. */
const cuts: {readonly [Name in FunctionName]?: (named: Named<Name>) => Cut<Named<Name>>} = {
  multiply({rows, columns, inner, transposeA, aStep, transposeB, bStep, cStep}) {
    if (rows <= FEW_ROWS) {
      const steps = {b: transposeB ? bStep : 4, c: 4};
      return {along: 'columns', steps, together: TILES, isWorth: columns * inner >= MIN_WEIGHTS};
    }
    const isWorth = rows * columns * inner >= MIN_PRODUCTS;
    const tiles = {together: TILES, isWorth};
    if (rows > columns) {
      const steps = {a: transposeA ? 4 : aStep, c: cStep};
      return {along: 'rows', steps, ...tiles, tooFew: FEW_ROWS};
    }
    return {along: 'columns', steps: {b: transposeB ? bStep : 4, c: 4}, ...tiles};
  },
  multiplyBfloat16: ({columns, inner, transposeB, bStep}) => ({
    ...{along: 'columns', steps: {b: transposeB ? bStep : 2, c: 4}, together: TILES},
    isWorth: columns * inner >= MIN_WEIGHTS,
  }),
  adam: ({size, variable}) => {
    const state = {gradient: 4, first: 4, second: 4, newFirst: 4, newSecond: 4, y: 4};
    return ofNumbers(size, {...state, variable: variable === 0 ? 0 : 4});
  },
  scale: ({size}) => ofNumbers(size, {x: 4, y: 4}),
  add: ({size}) => ofNumbers(size, {a: 4, b: 4, y: 4}),
  unpackBfloat16: ({size}) => ofNumbers(size, {packed: 2, y: 4}),
  swiglu: ({size}) => ofNumbers(size, {gate: 4, up: 4, y: 4}, MIN_EXPONENTIALS),
  swigluGradient: ({size, y}) =>
    ofNumbers(
      size,
      {dy: 4, gate: 4, up: 4, dGate: 4, dUp: 4, y: y === 0 ? 0 : 4},
      MIN_EXPONENTIALS,
    ),
  rmsNorm: ({rows, width}) => ofRows(rows, width, {x: 4 * width, y: 4 * width}),
  rmsNormGradient: ({rows, width}) =>
    ofRows(rows, width, {dy: 4 * width, x: 4 * width, dx: 4 * width, scales: 4}),
  rmsNormWeightGradient: ({rows, columns}) => ofColumns(rows, columns, {dy: 4, x: 4, dWeight: 4}),
  crossEntropy: ({rows, vocabulary}) => ({
    ...{along: 'rows', steps: {logits: 4 * vocabulary, labels: 4, weights: 4, losses: 8}},
    isWorth: rows * vocabulary >= MIN_EXPONENTIALS,
  }),
  crossEntropyGradient: ({rows, vocabulary, losses}) => ({
    along: 'rows',
    steps: {
      ...{logits: 4 * vocabulary, dLogits: 4 * vocabulary, labels: 4, weights: 4},
      losses: losses === 0 ? 0 : 8,
    },
    isWorth: rows * vocabulary >= MIN_EXPONENTIALS,
  }),
  attendLast({rows, keyHeads, group, width, tableStep, positions, padding, recent}) {
    const [row, before, now] = [1, positions, recent].map((count) => 4 * keyHeads * count * width);
    const after = now! + row!;
    return {
      along: 'rows',
      steps: {
        ...{q: group * row!, k: row!, v: row!, y: group * row!, cos: tableStep, sin: tableStep},
        ...{keys: before!, values: before!, padding: padding === 0 ? 0 : 4},
        ...{recentKeys: now!, recentValues: now!, newKeys: after, newValues: after},
      },
      isWorth: rows * keyHeads * (positions + recent) * width >= MIN_NUMBERS,
      workspace: {argument: 'workspace', bytes: 4 * group * (width + positions + recent + 1)},
    };
  },
  addBias: ({rows, columns}) => ofRows(rows, columns, {x: 4 * columns}),
  sumRows: ({rows, columns}) => ofColumns(rows, columns, {x: 4, sums: 4}),
  addSegments: ({rows, segments, width}) => ({
    ...{along: 'segments', steps: {first: 1, sums: 4 * width}},
    isWorth: (rows + segments) * width >= MIN_NUMBERS,
  }),
  countAbove: ({rows, columns, isWide}) =>
    ofRows(rows, columns, {weight: 4 * columns, norm: isWide ? 4 * columns : 4}),
  magnitudeSums: ({rows, columns, isWide}) =>
    ofRows(rows, columns, {weight: 4 * columns, norm: isWide ? 4 * columns : 4, sums: 4}),
};

function ofNumbers<Steps extends object>(size: number, steps: Steps, min = MIN_NUMBERS) {
  return {along: 'size', steps, together: VECTORS, isWorth: size >= min} as const;
}

function ofRows<Steps extends object>(rows: number, columns: number, steps: Steps) {
  return {along: 'rows', steps, isWorth: rows * columns >= MIN_NUMBERS} as const;
}

function ofColumns<Steps extends object>(rows: number, columns: number, steps: Steps) {
  return {
    ...({along: 'columns', steps, together: VECTORS} as const),
    isWorth: rows * columns >= MIN_NUMBERS,
  };
}

/** The pools, by the modules that use them. */
const pools = new WeakMap<SimdModule, ThreadPool>();

/** The module whose functions use the threads of a pool, where that is worth it. What is returned is the sum of what parts return. */
export function withThreads(module: SimdModule, pool: ThreadPool): SimdModule {
  const inParts = Object.entries(cuts).map(([name, cut]) => {
    const whole = module[name as FunctionName] as (named: object) => number;
    const cutOf = cut as (named: object) => Cut<Record<string, number>>;
    const run = (named: object): number => {
      const how = cutOf(named);
      const parts = partsOf(named as Record<string, number>, how, pool.threads);
      if (parts.length < 2) return whole(named);
      const calls = parts.map((part) => ({name: name as FunctionName, named: part}));
      return pool.run(calls, how.workspace).reduce((sum, result) => sum + result, 0);
    };
    return [name, run] as const;
  });
  const threaded = {...module, ...(Object.fromEntries(inParts) as Partial<SimdModule>)};
  pools.set(threaded, pool);
  return threaded;
}

/** The calls of the parts of a call; fewer than two if it stays whole. */
function partsOf<Args extends Record<string, number>>(
  named: Args,
  {along, steps, together = 1, isWorth, tooFew = 0}: Cut<Args>,
  threads: number,
): Args[] {
  if (!isWorth || threads < 2) return [];
  const total = named[along]!;
  const size = together * Math.ceil(total / threads / together);
  const parts: Args[] = [];
  for (let from = 0, count; from < total; from += count) {
    const left = total - from - size;
    count = left > tooFew ? size : total - from;
    const moved = Object.entries(steps).map(([name, step]) => [
      name,
      named[name]! + from * (step as number),
    ]);
    parts.push({...named, [along]: count, ...(Object.fromEntries(moved) as Partial<Args>)});
  }
  return parts;
}

/** The pool whose threads compute the functions of a module; undefined if there is one thread. */
export function poolOf(module: SimdModule): ThreadPool | undefined {
  return pools.get(module);
}

/** How many threads compute the functions of a module. */
export function threadsOf(module: SimdModule): number {
  return poolOf(module)?.threads ?? 1;
}

/**
 * Calls a function several times, with arguments that do not depend on each other.
 *
 * @param products The multiplications of all calls together.
 * @param workspace An argument that is memory to work in, with {@link threadsOf} times its bytes.
 */
export function callEach<Name extends FunctionName>(
  module: SimdModule,
  name: Name,
  calls: ReadonlyArray<Named<Name>>,
  products: number,
  workspace?: Workspace,
): void {
  const pool = pools.get(module);
  if (pool && pool.threads > 1 && calls.length > 1 && products >= MIN_PRODUCTS) {
    pool.run(
      calls.map((named) => ({name, named})),
      workspace,
    );
    return;
  }
  const call = module[name] as (named: Named<Name>) => void;
  for (const named of calls) call(named);
}
