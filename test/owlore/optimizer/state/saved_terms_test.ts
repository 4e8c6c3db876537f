import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {OwLoreOptimizer, type OwLoreOptions} from '../../../../src/index';
import {rejection} from '../../../support/rejection';
import {held} from '../../../support/sentinels';
import {Terms} from '../../../tape/term_losses';

const ROWS = 12;
const WIDTH = 5;
const shared: OwLoreOptions = {
  ...{learningRate: 0.02, rank: 2, refreshInterval: 2, accumulate: 3, project: /saved/},
};

describe('saved sums in terms', () => {
  let start: ReturnType<typeof held>;
  let weight: tf.Variable;
  const optimizers: OwLoreOptimizer[] = [];
  beforeEach(() => {
    start = held();
    weight = tf.tidy(() =>
      tf.variable(tf.randomNormal([ROWS, WIDTH], 0, 1, 'float32', 1), true, 'saved/matrix'),
    );
  });
  afterEach(() => {
    for (const optimizer of optimizers.splice(0)) optimizer.dispose();
    weight.dispose();
    expect(held()).to.deep.equal(start);
  });

  function optimizerOf(options: OwLoreOptions = {}): OwLoreOptimizer {
    const optimizer = new OwLoreOptimizer({...shared, ...options});
    optimizers.push(optimizer);
    return optimizer;
  }

  const call = (optimizer: OwLoreOptimizer, number: number): void =>
    void optimizer.minimize(() => new Terms(weight, 0, number).loss(), false, [weight]);

  async function saved(optimizer: OwLoreOptimizer): Promise<Map<string, tf.Tensor>> {
    return new Map((await optimizer.getWeights()).map(({name, tensor}) => [name, tensor]));
  }

  it('have a name for each tensor, and go on in the middle of a step', async () => {
    const first = weight.clone();
    const whole = optimizerOf();
    for (let i = 0; i < 6; i++) call(whole, i);
    const expected = [...weight.dataSync()];
    weight.assign(first);
    first.dispose();
    const left = optimizerOf();
    for (let i = 0; i < 2; i++) call(left, i);
    const entries = await saved(left);
    const terms = [...entries].filter(([name]) => name.includes('/owlore.terms.'));
    expect(Object.fromEntries(terms.map(([name, {shape}]) => [name, shape]))).to.deep.equal({
      'saved/matrix/owlore.terms.shape': [3],
      'saved/matrix/owlore.terms.testPicks.ids': [10],
      'saved/matrix/owlore.terms.testPicks.rows': [10, WIDTH],
      'saved/matrix/owlore.terms.testProducts.h': [10, WIDTH],
      'saved/matrix/owlore.terms.testProducts.x': [10, WIDTH],
    });
    const numbers = entries.get('saved/matrix/owlore.terms.shape')!;
    expect([...numbers.dataSync()]).to.deep.equal([ROWS, WIDTH, 0]);
    const resumed = optimizerOf();
    await resumed.setWeights(await left.getWeights());
    expect(resumed.stateBytes).to.equal(left.stateBytes);
    left.dispose();
    for (let i = 2; i < 6; i++) call(resumed, i);
    expect([...weight.dataSync()]).to.deep.equal(expected);
  });

  it('count in the bytes of the state, and are freed with it', async () => {
    const optimizer = optimizerOf();
    call(optimizer, 0);
    // ids, and three tensors of five rows; the sum of the losses
    expect(optimizer.stateBytes).to.equal(4 * (5 + 3 * 5 * WIDTH + 1));
    optimizer.dispose();
    expect(optimizer.stateBytes).to.equal(0);
  });

  const others: Record<string, OwLoreOptions> = {
    'another basis': {basis: 'svd'},
    'another side': {side: 'left'},
    'another update': {update: 'fira'},
    'no projection': {project: false},
    'a limit of the norm': {clipNorm: 0.1},
  };
  for (const [how, options] of Object.entries(others)) {
    it(`end as those of whole gradients under ${how}`, async () => {
      const first = weight.clone();
      const ends: number[][] = [];
      for (const isInTerms of [true, false]) {
        weight.assign(first);
        // a function gets the gradient itself
        const begun = optimizerOf(isInTerms ? {} : {basis: (g) => g});
        for (let i = 0; i < 2; i++) call(begun, i);
        const resumed = optimizerOf(options);
        await resumed.setWeights(await begun.getWeights());
        expect([...(await saved(resumed)).keys()].some((name) => name.includes('terms'))).to.equal(
          isInTerms,
        );
        tf.tidy(() => resumed.applyGradients({[weight.name]: new Terms(weight, 0, 2).whole()}));
        expect(resumed.iterations).to.equal(1);
        ends.push([...weight.dataSync()]);
        begun.dispose();
        resumed.dispose();
      }
      // Roundings of 1e-7, which Adam enlarges where a gradient is small.
      ends[0]!.forEach((x, i) => expect(x, `number ${i}`).to.be.closeTo(ends[1]![i]!, 2e-4));
      first.dispose();
    });
  }

  const at = 'saved/matrix/owlore.terms.';
  type Change = (entries: Map<string, tf.Tensor>) => void;
  const set =
    (name: string, make: () => tf.Tensor): Change =>
    (entries) =>
      void entries.set(at + name, make());
  const shapeOf = (...numbers: number[]): Change => set('shape', () => tf.tensor1d(numbers));
  const cases: Array<[what: string, change: Change, message: RegExp]> = [
    ['no shape', (entries) => void entries.delete(`${at}shape`), /two sizes and 0 or 1; got \[\]/],
    ['a size too few', shapeOf(ROWS, WIDTH), /must be two sizes and 0 or 1; got \[12, 5\]/],
    ['a size too many', shapeOf(ROWS, WIDTH, 0, 0), /got \[12, 5, 0, 0\]; nothing was loaded/],
    ['rows of no number', shapeOf(NaN, WIDTH, 0), /got \[NaN, 5, 0\]/],
    ['a part of a row', shapeOf(1.5, WIDTH, 0), /got \[1.5, 5, 0\]/],
    ['no columns', shapeOf(ROWS, 0, 0), /got \[12, 0, 0\]/],
    ['an axis of three', shapeOf(ROWS, WIDTH, 2), /got \[12, 5, 2\]/],
    ['another width', shapeOf(ROWS, 4, 0), /rows' must have the shape \[10,4\]; got \[10,5\]/],
    ['the other axis', shapeOf(ROWS, WIDTH, 1), /rows' must have the shape \[10,12\]; got/],
    ['the other number of rows', shapeOf(11, WIDTH, 0), /does not fit the variable/],
    [
      'integers',
      set('testPicks.ids', () => tf.zeros([10], 'int32')),
      /testPicks.ids' must be float32; got int32; nothing was loaded/,
    ],
    [
      'a term of another length than its other tensors',
      set('testPicks.rows', () => tf.zeros([9, WIDTH])),
      /testPicks.rows' must have the shape \[10,5\]; got \[9,5\]/,
    ],
    [
      'a tensor too few',
      (entries) => void entries.delete(`${at}testPicks.ids`),
      /testPicks' must have ids, rows; it has rows/,
    ],
    [
      'a tensor too many',
      set('testPicks.more', () => tf.zeros([10])),
      /testPicks' must have ids, rows; it has ids, rows, more/,
    ],
    [
      'a tensor in the place of another',
      (entries) => {
        entries.delete(`${at}testPicks.ids`);
        entries.set(`${at}testPicks.places`, tf.zeros([10]));
      },
      /testPicks' must have ids, rows; it has rows, places/,
    ],
    [
      'a kind that nobody has defined',
      set('nothing.ids', () => tf.zeros([10])),
      /nothing' is of a kind that is not known here; import 'tfjs-owlore\/llama'/,
    ],
    [
      'a shape alone',
      (entries) => {
        for (const name of [...entries.keys()]) if (name.includes('.test')) entries.delete(name);
      },
      /shape' has no terms beside it; nothing was loaded/,
    ],
  ];
  for (const [what, change, message] of cases) {
    it(`are refused with ${what}, and nothing is changed`, async () => {
      const saver = optimizerOf();
      for (let i = 0; i < 2; i++) call(saver, i);
      const own = await saved(saver);
      const entries = new Map(own);
      change(entries);
      const optimizer = optimizerOf();
      call(optimizer, 5);
      const before = {...held(), bytes: optimizer.stateBytes};
      const weights = [...entries].map(([name, tensor]) => ({name, tensor}));
      const error = await rejection(optimizer.setWeights(weights));
      expect(error.message).to.match(message);
      expect({...held(), bytes: optimizer.stateBytes}).to.deep.equal(before);
      const kept = new Set(own.values());
      tf.dispose([...entries.values()].filter((tensor) => !kept.has(tensor)));
    });
  }
});
