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
  /**
   * Whether each thread's part is followed by a smaller one, which whoever is done sooner takes: one thread is often slower than another,
   * and the caller waits for the last. In calls so long that a part more costs nothing beside that.
   */
  isLong?: boolean;
  /** Whether it is one of many that follow each other, each soon done: where other programs want the processors, one thread does them. */
  isShort?: boolean;
  /** No part is as small as this, because it would be computed in another order. */
  tooFew?: number;
  /** An argument that is memory to work in; whoever calls has taken {@link threadsOf} times its bytes. */
  workspace?: Workspace;
}

/**
 * Calls that take 0.1 ms: in multiplications, in numbers that are read and written, in exponentials, and in numbers that are copied or
 * set. And 0.02 ms, in weights that few rows are multiplied by: a decoder's calls follow each other so fast that workers do not sleep.
 */
const [MIN_PRODUCTS, MIN_WEIGHTS, MIN_NUMBERS] = [1e6, 2 ** 16, 2 ** 16];
const [MIN_EXPONENTIALS, MIN_COPIED] = [2 ** 14, 2 ** 19];

/** Products so many times as long as the shortest that are cut are long. */
const LONG = 8;

/** What the parts that come first have of a long call; the rest is in as many again. */
const FIRST_PARTS = 0.8;

/** Numbers of whole cache lines; and columns that few rows are multiplied by together, of both kinds of the module. */
const [VECTORS, COLUMNS] = [16, 24];

/** Up to this many rows a product is summed up in another order. */
const FEW_ROWS = 8;

/** What a thread takes at most for a weight that few rows are multiplied by, in milliseconds: two machines took a fifth and a half of it. */
const LONGEST = 1e-6;

/** The tiles of a product. */
type Tiles = Pick<SimdModule, 'TILE_ROWS' | 'TILE_COLUMNS'>;

/** Of each function that is cut; false for a call that takes too short to be worth it. */
const cuts: {
  readonly [Name in FunctionName]?: (named: Named<Name>, tiles: Tiles) => Cut<Named<Name>> | false;
} = {
  multiply({rows, columns, inner, transposeA, aStep, transposeB, bStep, cStep}, tiles) {
    const isFew = rows <= FEW_ROWS;
    const products = rows * columns * inner;
    const isWorth = isFew ? columns * inner >= MIN_WEIGHTS : products >= MIN_PRODUCTS;
    if (!isWorth) return false;
    const isLong = products >= LONG * MIN_PRODUCTS;
    if (isFew || rows <= columns) {
      const steps = {b: transposeB ? bStep : 4, c: 4};
      const together = isFew ? COLUMNS : tiles.TILE_COLUMNS;
      return {along: 'columns', steps, together, isLong, isShort: isFew};
    }
    return {
      along: 'rows',
      steps: {a: transposeA ? 4 : aStep, c: cStep},
      together: tiles.TILE_ROWS,
      tooFew: FEW_ROWS,
      isLong,
    };
  },
  multiplyBfloat16: ({columns, inner, transposeB, bStep}) =>
    columns * inner >= MIN_WEIGHTS && {
      along: 'columns',
      steps: {b: transposeB ? bStep : 2, c: 4},
      together: COLUMNS,
      isShort: true,
    },
  adam: ({size, variable}) => {
    const state = {gradient: 4, first: 4, second: 4, newFirst: 4, newSecond: 4, y: 4};
    return ofNumbers(size, {...state, variable: variable === 0 ? 0 : 4});
  },
  scale: ({size}) => ofNumbers(size, {x: 4, y: 4}),
  add: ({size}) => ofNumbers(size, {a: 4, b: 4, y: 4}),
  copy: ({size}) => ofNumbers(size, {from: 4, to: 4}, MIN_COPIED),
  copyRows: ({rows, size, fromStep, toStep}) =>
    rows * size >= MIN_COPIED && {
      along: 'rows',
      steps: {from: fromStep, to: toStep},
    },
  gatherRows: ({rows, size}) =>
    rows * size >= MIN_COPIED && {along: 'rows', steps: {ids: 4, y: 4 * size}},
  fill: ({size}) => ofNumbers(size, {y: 4}, MIN_COPIED),
  toFloats: ({size}) => ofNumbers(size, {x: 4, y: 4}),
  sumsOfSquares: ({size}) =>
    size >= MIN_NUMBERS && {
      along: 'count',
      steps: {first: 1, sums: 8},
    },
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
  crossEntropy: ({rows, vocabulary}) =>
    rows * vocabulary >= MIN_EXPONENTIALS && {
      along: 'rows',
      steps: {logits: 4 * vocabulary, labels: 4, weights: 4, losses: 8},
    },
  crossEntropyGradient: ({rows, vocabulary, losses}) =>
    rows * vocabulary >= MIN_EXPONENTIALS && {
      along: 'rows',
      steps: {
        logits: 4 * vocabulary,
        dLogits: 4 * vocabulary,
        labels: 4,
        weights: 4,
        losses: losses === 0 ? 0 : 8,
      },
    },
  attendLast({rows, keyHeads, group, width, tableStep, positions, padding, recent}) {
    const [row, before, now] = [1, positions, recent].map((count) => 4 * keyHeads * count * width);
    const after = now! + row!;
    const isWorth = rows * keyHeads * (positions + recent) * width >= MIN_NUMBERS;
    return (
      isWorth && {
        along: 'rows',
        steps: {
          q: group * row!,
          k: row!,
          v: row!,
          y: group * row!,
          cos: tableStep,
          sin: tableStep,
          keys: before!,
          values: before!,
          padding: padding === 0 ? 0 : 4,
          recentKeys: now!,
          recentValues: now!,
          newKeys: after,
          newValues: after,
        },
        workspace: {argument: 'workspace', bytes: 4 * group * (width + positions + recent + 1)},
      }
    );
  },
  addBias: ({rows, columns}) => ofRows(rows, columns, {x: 4 * columns}),
  sumRows: ({rows, columns}) => ofColumns(rows, columns, {x: 4, sums: 4}),
  addSegments: ({rows, segments, width}) =>
    (rows + segments) * width >= MIN_NUMBERS && {
      along: 'segments',
      steps: {first: 1, sums: 4 * width},
    },
  countAbove: ({rows, columns, isWide}) =>
    ofRows(rows, columns, {weight: 4 * columns, norm: isWide ? 4 * columns : 4}),
  magnitudeSums: ({rows, columns, isWide}) =>
    ofRows(rows, columns, {weight: 4 * columns, norm: isWide ? 4 * columns : 4, sums: 4}),
};

function ofNumbers<Steps extends object>(size: number, steps: Steps, min = MIN_NUMBERS) {
  return size >= min && ({along: 'size', steps, together: VECTORS} as const);
}

function ofRows<Steps extends object>(rows: number, columns: number, steps: Steps) {
  return rows * columns >= MIN_NUMBERS && ({along: 'rows', steps} as const);
}

function ofColumns<Steps extends object>(rows: number, columns: number, steps: Steps) {
  return rows * columns >= MIN_NUMBERS && ({along: 'columns', steps, together: VECTORS} as const);
}

/** The pools, by the modules that use them. */
const pools = new WeakMap<SimdModule, ThreadPool>();

/** The module whose functions use the threads of a pool, where that is worth it. What is returned is the sum of what parts return. */
export function withThreads(module: SimdModule, pool: ThreadPool): SimdModule {
  const inParts = Object.entries(cuts).map(([name, cut]) => {
    const whole = module[name as FunctionName] as (named: object) => number;
    const cutOf = cut as (named: object, tiles: Tiles) => Cut<Record<string, number>> | false;
    const run = (named: Record<string, number>): number => {
      const how = pool.threads > 1 && cutOf(named, module);
      if (!how || (how.isShort && pool.busy.isOn)) return whole(named);
      const parts = partsOf(named, how, pool.threads);
      if (parts.length < 2) return whole(named);
      const results = pool.run(name as FunctionName, named, parts, how.workspace);
      return results.reduce((sum, result) => sum + result, 0);
    };
    return [name, run] as const;
  });
  const threaded = {...module, ...(Object.fromEntries(inParts) as Partial<SimdModule>)};
  const {multiply, multiplyBfloat16} = threaded;
  threaded.multiply = (named) => {
    const {rows, transposeA, aStep, transposeB} = named;
    const [aRow, aNext] = transposeA ? [4, aStep] : [aStep, 4];
    // for few rows alone is a list made
    if (
      transposeB ||
      rows > FEW_ROWS ||
      !inSections(threaded, named, aRow, aNext, [{...named, isBfloat16: false}])
    )
      multiply(named);
  };
  threaded.multiplyBfloat16 = (named) => {
    const {inner, transposeB} = named;
    if (transposeB || !inSections(threaded, named, 4 * inner, 4, [{...named, isBfloat16: true}]))
      multiplyBfloat16(named);
  };
  pools.set(threaded, pool);
  return threaded;
}

/** Rows without gaps, `[rows, inner]`. */
interface Rows {
  rows: number;
  inner: number;
  a: number;
}

/** A matrix `[inner, columns]` that rows are multiplied with, and where the product is put or added to. */
interface Factor {
  columns: number;
  b: number;
  bStep: number;
  isBfloat16: boolean;
  c: number;
  cStep: number;
  add: boolean;
}

/** Products of the same rows with several matrices: if they are few rows and threads pay, all at once. */
export function multiplyEach(module: SimdModule, same: Rows, factors: readonly Factor[]): void {
  const {rows, inner, a} = same;
  if (inSections(module, same, inner * 4, 4, factors)) return;
  for (const {columns, b, bStep, isBfloat16, c, cStep, add} of factors) {
    // Whole literals: those with a spread take a twentieth of the time of a product.
    // prettier-ignore
    if (isBfloat16) module.multiplyBfloat16({rows, columns, inner, a, b, bStep, transposeB: false, c, cStep, add});
    else module.multiply({rows, columns, inner, a, aStep: inner * 4, transposeA: false, b, bStep, transposeB: false, c, cStep, add});
  }
}

/**
 * Products of few rows by sections of their inner dimension, so that threads read whole rows of the matrices: parts of rows are read at two
 * thirds of the speed, since processors fetch ahead beyond their ends. False if they are not such, or threads do not pay.
 */
function inSections(
  module: SimdModule,
  {rows, inner, a}: Rows,
  aRow: number,
  aNext: number,
  factors: readonly Factor[],
): boolean {
  const pool = pools.get(module);
  const all = factors.reduce((sum, {columns}) => sum + columns, 0);
  const weights = all * inner;
  if (!pool || pool.threads < 2 || rows > FEW_ROWS || weights < MIN_WEIGHTS) return false;
  if (pool.busy.isOn) return false;
  let sums = module.sectionSums({rows, columns: all, inner});
  if (sums === 0) return false;
  const calls: Array<Record<string, number>> = [];
  const additions: Array<Named<'addSections'>> = [];
  for (const [i, {columns, b, bStep, isBfloat16, c, cStep, add}] of factors.entries()) {
    const isLong = i === factors.length - 1;
    const sections = {first: 0, count: module.SECTIONS};
    for (const part of partsOf(sections, {along: 'count', steps: {first: 1}, isLong}, pool.threads))
      calls.push(Object.assign(part, {columns, b, bStep, isBfloat16: Number(isBfloat16), sums}));
    additions.push({rows, columns, sums, c, cStep, add});
    sums += 4 * module.SECTIONS * rows * columns;
  }
  pool.run('multiplySections', {rows, inner, a, aRow, aNext}, calls, undefined, LONGEST * weights);
  const isWorth = factors.length > 1 && module.SECTIONS * rows * all >= MIN_NUMBERS;
  if (isWorth) pool.run('addSections', {}, additions);
  else for (const addition of additions) module.addSections(addition);
  return true;
}

/** What is another in each part of a call; fewer than two if it stays whole. */
function partsOf(
  named: Readonly<Record<string, number>>,
  {along, steps, together = 1, tooFew = 0, isLong = false}: Cut<Record<string, number>>,
  threads: number,
): Array<Record<string, number>> {
  const total = named[along]!;
  const first = isLong ? Math.floor((FIRST_PARTS * total) / threads / together) * together : 0;
  const parts: Array<Record<string, number>> = [];
  for (let from = 0, count, left = threads; from < total; from += count) {
    const rest = total - from;
    const isFirst = first > tooFew && parts.length < threads;
    const size = isFirst ? first : together * Math.ceil(rest / left / together);
    count = Math.min(size, rest - size) > tooFew ? size : rest;
    const part: Record<string, number> = {[along]: count};
    for (const name in steps) part[name] = named[name]! + from * steps[name]!;
    parts.push(part);
    if (!isFirst) left--;
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
 * Calls a function several times, independently.
 *
 * @param named The arguments of the first call. It is changed.
 * @param changes For each call the arguments that are others than in the call before.
 * @param products The multiplications of all calls together.
 * @param workspace An argument that is memory to work in, with {@link threadsOf} times its bytes.
 */
export function callEach<Name extends FunctionName>(
  module: SimdModule,
  name: Name,
  named: Named<Name>,
  changes: ReadonlyArray<Partial<Named<Name>>>,
  products: number,
  workspace?: Workspace,
): void {
  const pool = pools.get(module);
  if (pool && pool.threads > 1 && changes.length > 1 && products >= MIN_PRODUCTS) {
    pool.run(name, named, changes, workspace);
    return;
  }
  const call = module[name] as (named: Named<Name>) => void;
  for (const change of changes) call(Object.assign(named, change));
}
