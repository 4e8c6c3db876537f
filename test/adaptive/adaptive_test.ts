import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {LayerSamplingCallback, OwLoreOptimizer, type LayerSamplingOptions} from '../../src';
import {
  bandit,
  gradientNorms,
  renewedScores,
  scoresOrVisits,
  type AdaptiveSampling,
} from '../../src/adaptive';

const blocks = ['one', 'two', 'three', 'four'];
const scores = [1, 2, 3, 10];

/** A model of four blocks and a head, the same each time. */
function modelOf(): tfl.LayersModel {
  const layers = [...blocks, 'head'].map((name, i) =>
    tfl.layers.dense({
      ...{name, units: name === 'head' ? 1 : 6, activation: name === 'head' ? undefined : 'tanh'},
      kernelInitializer: tfl.initializers.glorotNormal({seed: i + 1}),
      ...(i === 0 && {inputShape: [5]}),
    }),
  );
  return tfl.sequential({layers});
}

interface Run {
  schedule: string[][];
  weights: number[];
}

/** Twelve steps in periods of two, in one `fit` or, with a stop after some steps, in two with all state handed over as JSON. */
async function train(
  options: () => LayerSamplingOptions,
  stop: number | null = null,
): Promise<Run> {
  const [x, y] = [
    tf.randomNormal([4, 5], 0, 1, 'float32', 1),
    tf.randomNormal([4, 1], 0, 1, 'float32', 2),
  ];
  const model = modelOf();
  const make = (): [OwLoreOptimizer, LayerSamplingCallback] => [
    new OwLoreOptimizer({learningRate: 0.01, rank: 2}),
    new LayerSamplingCallback({...{blocks, scores, gamma: 2, interval: 2, seed: 3}, ...options()}),
  ];
  let [optimizer, callback] = make();
  const fit = async (epochs: number): Promise<void> => {
    model.compile({optimizer, loss: 'meanSquaredError'});
    await model.fit(x, y, {epochs, callbacks: [callback], shuffle: false, verbose: 0});
  };
  await fit(stop ?? 12);
  if (stop !== null) {
    const [nextOptimizer, next] = make();
    next.setState(
      JSON.parse(JSON.stringify(callback.getState())) as ReturnType<typeof next.getState>,
    );
    await nextOptimizer.setWeights(await optimizer.getWeights());
    optimizer.dispose();
    [optimizer, callback] = [nextOptimizer, next];
    await fit(12 - stop);
  }
  const weights = model.getWeights().flatMap((weight) => [...weight.dataSync()]);
  model.dispose();
  optimizer.dispose();
  tf.dispose([x, y]);
  return {schedule: callback.schedule.periods, weights};
}

async function rejection(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error: unknown) => (error as Error).message,
  );
}

const kinds: Record<string, () => AdaptiveSampling> = {
  gradientNorms: () => gradientNorms(),
  bandit: () => bandit({learningRate: 0.5}),
  scoresOrVisits: () => scoresOrVisits(),
  renewedScores: () =>
    renewedScores(() => Promise.resolve({blocks, scores: [9, 1, 1, 1]}), {every: 2}),
};

/** A start of four blocks with the callback's probabilities of {@link scores}. */
function begun(adaptive: AdaptiveSampling, gamma = 2, seed = 1): AdaptiveSampling {
  return begunWith(scores, adaptive, gamma, seed);
}

function begunWith(
  scores: readonly number[],
  adaptive: AdaptiveSampling,
  gamma: number,
  seed = 1,
): AdaptiveSampling {
  const total = scores.reduce((sum, score) => sum + score, 0);
  const shares = scores.map((score) => score / total);
  adaptive.begin({
    sampling: {
      ...{blocks, shares, gamma, method: 'waterfill', floor: 0},
      probabilities: shares.map((share) => Math.min(1, gamma * share)),
    },
    variables: new Map(blocks.map((block) => [block, [`${block}/kernel`, `${block}/bias`]])),
    ...{sampler: 'exact', seed, period: 0},
  });
  return adaptive;
}

describe('adaptive sampling', () => {
  for (const [kind, make] of Object.entries(kinds)) {
    it(`${kind} goes on from a saved state as if it had not stopped, and its schedule is replayed`, async () => {
      const whole = await train(() => ({adaptive: make()}));
      expect(whole.schedule).to.have.length(6);
      for (const names of whole.schedule) expect(names).to.have.length(2);
      // within a period, and between two
      for (const stop of [7, 8]) {
        expect(await train(() => ({adaptive: make()}), stop), `stopped at ${stop}`).to.deep.equal(
          whole,
        );
      }
      const schedule = {blocks, interval: 2, periods: whole.schedule};
      expect(await train(() => ({schedule}))).to.deep.equal(whole);
    });
  }

  it('gradientNorms draws in proportion to the gradients of the last visits', () => {
    const adaptive = begun(gradientNorms());
    const first = adaptive.draw(0);
    expect(adaptive.probabilities!.shares[3]).to.be.closeTo(10 / 16, 1e-6);
    const see = (squares: Record<string, number>): void => {
      const names = Object.keys(squares).map((block) => `${block}/kernel`);
      tf.tidy(() =>
        adaptive.onGradients!(
          [...names, 'head/kernel'],
          tf.tensor1d([...Object.values(squares), 1e6]),
        ),
      );
    };
    const [a, b] = first as [string, string];
    see({[a]: 1, [b]: 16});
    see({[a]: 7, [b]: 16});
    adaptive.draw(1);
    // roots of the means, 2 and 4; those that were not on count as the largest
    const wanted = blocks.map((block) => (block === a ? 2 : 4));
    const total = wanted.reduce((sum, each) => sum + each, 0);
    adaptive.probabilities!.probabilities.forEach((p, i) =>
      expect(p).to.be.closeTo((2 * wanted[i]!) / total, 1e-6),
    );
  });

  it('bandit follows EXP3 with the reward of each block that was on', () => {
    const [rate, exploration] = [0.5, 0.2];
    const adaptive = begun(bandit({learningRate: rate, exploration}), 1);
    const weights = scores.map((score) => score / 16);
    const norms: Record<string, number> = {one: 1, two: 3, three: 2, four: 4};
    const seen: Record<string, number> = {};
    for (let period = 0; period < 20; period++) {
      const [block] = adaptive.draw(period) as [string];
      const sum = weights.reduce((all, weight) => all + weight, 0);
      const p = weights.map((weight) => (1 - exploration) * (weight / sum) + exploration / 4);
      adaptive.probabilities!.probabilities.forEach((each, i) =>
        expect(each).to.be.closeTo(p[i]!, 1e-6),
      );
      tf.tidy(() => adaptive.onGradients!([`${block}/bias`], tf.tensor1d([norms[block]! ** 2])));
      seen[block] = norms[block]!;
      const at = blocks.indexOf(block);
      weights[at]! *= Math.exp((rate * (seen[block] / Math.max(...Object.values(seen)))) / p[at]!);
    }
    expect(Object.keys(seen).length).to.be.above(1);
  });

  it('bandit gives no weight to a block without a share, however much that has grown', () => {
    const adaptive = begunWith([0, 1, 1, 1], bandit(), 1);
    adaptive.draw(0);
    tf.tidy(() => adaptive.onGradients!(['two/bias'], tf.tensor1d([1])));
    adaptive.setState({...adaptive.getState(), values: {one: 1e4}});
    adaptive.draw(1);
    const [share] = adaptive.probabilities!.shares;
    expect(share).to.be.closeTo(0.1 / 4, 1e-6);
  });

  for (const make of [() => gradientNorms(), () => bandit()]) {
    it(`${(make().toJSON() as {kind: string}).kind} passes over a period whose steps were all skipped`, () => {
      const model = modelOf();
      const optimizer = new OwLoreOptimizer({nonFinite: 'skip', rank: 2});
      const adaptive = make();
      const options = {blocks, scores, gamma: 1, interval: 1, adaptive};
      const callback = new LayerSamplingCallback(options);
      // the second training goes on after a period that was skipped
      for (const values of [
        [NaN, 1, 1, NaN],
        [1, 1],
      ]) {
        callback.attach(model, optimizer);
        for (const value of values) {
          callback.step();
          optimizer.minimize(() => tf.mean(model.apply(tf.fill([2, 5], value)) as tf.Tensor));
        }
        callback.restore();
      }
      const {norms} = adaptive.getState() as {norms: Record<string, number>};
      expect(optimizer.skippedSteps).to.equal(2);
      // of the periods with a number, but for the last, which has not ended
      const ofNumbers = [1, 2, 4].flatMap((period) => callback.schedule.periods[period]!);
      expect(norms).to.have.all.keys(...ofNumbers);
      expect(Object.values(norms).every((norm) => norm > 0)).to.equal(true);
      optimizer.dispose();
      model.dispose();
    });
  }

  for (const accumulate of [1, 2]) {
    it(`gradientNorms is told the norms of the whole gradients, also in steps that make no basis, of ${accumulate} calls`, () => {
      const model = modelOf();
      const optimizer = new OwLoreOptimizer({learningRate: 0.01, rank: 2, accumulate});
      const adaptive = gradientNorms();
      const options = {blocks, scores, gamma: 2, interval: 3, seed: 3, adaptive};
      const callback = new LayerSamplingCallback(options);
      const x = tf.randomNormal([4, 5], 0, 1, 'float32', 1);
      const lossOf = (call: number) => (): tf.Scalar =>
        tf.tidy(() => tf.mean<tf.Scalar>(tf.square(model.apply(tf.add(x, call)) as tf.Tensor)));
      callback.attach(model, optimizer);
      const expected: Record<string, number> = {};
      for (let step = 0; step < 3; step++) {
        const sums = new Map<string, number[]>();
        for (let call = 0; call < accumulate; call++) {
          callback.step();
          const {value, grads} = tf.variableGrads(lossOf(call));
          for (const [name, gradient] of Object.entries(grads)) {
            const values = [...gradient.dataSync()];
            sums.set(
              name,
              values.map((each, i) => each + (sums.get(name)?.[i] ?? 0)),
            );
          }
          tf.dispose([value, ...Object.values(grads)]);
          optimizer.minimize(lossOf(call));
        }
        for (const [name, sum] of sums) {
          const [block] = name.split('/') as [string];
          const square = sum.reduce((total, each) => total + (each / accumulate) ** 2, 0);
          if (block !== 'head') expected[block] = (expected[block] ?? 0) + square;
        }
      }
      const {current} = adaptive.getState() as {current: {squares: Record<string, number>}};
      expect(current.squares).to.have.all.keys(...callback.schedule.periods[0]!);
      // sums of squares in float32
      for (const [block, square] of Object.entries(current.squares))
        expect(square / expected[block]!, block).to.be.closeTo(1, 1e-5);
      callback.restore();
      optimizer.dispose();
      model.dispose();
      x.dispose();
    });
  }

  it('gradientNorms does not count the steps of another model', () => {
    const adaptive = begun(gradientNorms());
    const [a, b] = adaptive.draw(0) as [string, string];
    tf.tidy(() => {
      adaptive.onGradients!([`${a}/kernel`, `${b}/kernel`], tf.tensor1d([4, 9]));
      adaptive.onGradients!(['other/kernel'], tf.tensor1d([1]));
    });
    adaptive.draw(1);
    const {norms} = adaptive.getState() as {norms: Record<string, number>};
    expect(norms).to.deep.equal({[a]: 2, [b]: 3});
  });

  it('scoresOrVisits leaves no block far behind uniform sampling, and gives high scores more', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const adaptive = begun(scoresOrVisits(), 2, seed);
      const visits = new Map(blocks.map((block) => [block, 0]));
      for (let period = 0; period < 60; period++) {
        for (const block of adaptive.draw(period)) visits.set(block, visits.get(block)! + 1);
        const p = adaptive.probabilities!.probabilities;
        expect(p.reduce((sum, each) => sum + each, 0)).to.be.closeTo(2, 1e-9);
        // 10 behind at most with 300 seeds; 16 if only half of the uniform visits were due
        expect(Math.min(...visits.values()), `after ${period} with seed ${seed}`).to.be.at.least(
          ((period + 1) * 2) / 4 - 11,
        );
      }
      expect(visits.get('four'), `with seed ${seed}`).to.be.above(visits.get('one')!);
    }
  });

  it('is prepared once for each period, before the batch that begins it', async () => {
    const adaptive = renewedScores(() => Promise.resolve(scores), {every: 2});
    const periods: number[] = [];
    const {prepare} = adaptive;
    adaptive.prepare = (model, period) => {
      periods.push(period);
      return prepare!.call(adaptive, model, period);
    };
    await train(() => ({interval: 3, adaptive}));
    expect(periods).to.deep.equal([0, 1, 2, 3]);
  });

  it('renewedScores weighs a block that is unfrozen later by its own score', async () => {
    const adaptive = renewedScores(() => Promise.resolve([1000, 2000, 3000, 4000]), {every: 1});
    const model = modelOf();
    const optimizer = new OwLoreOptimizer({learningRate: 0.01, rank: 2});
    const callback = new LayerSamplingCallback({blocks, scores, gamma: 1, interval: 1, adaptive});
    const fit = async (): Promise<void> => {
      model.compile({optimizer, loss: 'meanSquaredError'});
      await model.fit(tf.ones([3, 5]), tf.ones([3, 1]), {
        ...{batchSize: 1, epochs: 1, verbose: 0, callbacks: [callback]},
      });
    };
    model.layers[1]!.trainable = false;
    await fit();
    expect(adaptive.probabilities!.blocks).to.deep.equal(['one', 'three', 'four']);
    model.layers[1]!.trainable = true;
    await fit();
    expect(adaptive.probabilities!.blocks).to.deep.equal(blocks);
    adaptive.probabilities!.shares.forEach((share, i) =>
      expect(share).to.be.closeTo((i + 1) / 10, 1e-6),
    );
    optimizer.dispose();
    model.dispose();
  });

  it('renewedScores takes bare numbers for the blocks that can train alone', async () => {
    const adaptive = renewedScores(() => Promise.resolve([1, 3, 4]), {every: 1});
    const model = modelOf();
    model.layers[1]!.trainable = false;
    const optimizer = new OwLoreOptimizer({learningRate: 0.01, rank: 2});
    const callback = new LayerSamplingCallback({blocks, scores, gamma: 1, interval: 1, adaptive});
    model.compile({optimizer, loss: 'meanSquaredError'});
    await model.fit(tf.ones([3, 5]), tf.ones([3, 1]), {
      ...{batchSize: 1, epochs: 1, verbose: 0, callbacks: [callback]},
    });
    expect(adaptive.probabilities!.blocks).to.deep.equal(['one', 'three', 'four']);
    [1 / 8, 3 / 8, 4 / 8].forEach((share, i) =>
      expect(adaptive.probabilities!.shares[i]).to.be.closeTo(share, 1e-6),
    );
    optimizer.dispose();
    model.dispose();
  });

  it('renewedScores takes bare numbers for all blocks where one cannot train', async () => {
    const adaptive = renewedScores(() => Promise.resolve([1, 0, 5, 0]), {every: 2});
    const model = modelOf();
    model.layers[1]!.trainable = false;
    const optimizer = new OwLoreOptimizer({learningRate: 0.01, rank: 2});
    const callback = new LayerSamplingCallback({blocks, scores, gamma: 1, interval: 1, adaptive});
    model.compile({optimizer, loss: 'meanSquaredError'});
    const [x, y] = [tf.ones([4, 5]), tf.ones([4, 1])];
    await model.fit(x, y, {epochs: 3, callbacks: [callback], verbose: 0});
    const shares = adaptive.probabilities!.shares.map((share) => Number(share.toFixed(6)));
    expect([adaptive.probabilities!.blocks, shares]).to.deep.equal([
      ['one', 'three', 'four'],
      [0.166667, 0.833333, 0],
    ]);
    model.dispose();
    optimizer.dispose();
    tf.dispose([x, y]);
  });

  it('renewedScores computes for every n-th period, with the model, and draws by the result', async () => {
    const models: tfl.LayersModel[] = [];
    const adaptive = renewedScores(
      (model) => {
        models.push(model);
        return Promise.resolve({blocks, scores: [9, 1, 1, 1]});
      },
      {every: 2},
    );
    await train(() => ({adaptive}));
    expect(models).to.have.length(2);
    expect(models[0]).to.be.instanceOf(tfl.LayersModel);
    expect(adaptive.probabilities!.shares[0]).to.be.closeTo(0.75, 1e-6);
  });

  it('says what it cannot work with', async () => {
    const message = (options: LayerSamplingOptions): Promise<string> =>
      rejection(train(() => options));
    expect(await message({adaptive: gradientNorms(), sampler: 'permutation'})).to.match(
      /gradientNorms: sampler 'permutation' draws all blocks equally often; use 'exact'/,
    );
    expect(await message({adaptive: gradientNorms(), initialStep: 4})).to.match(
      /adaptive has no meaning with schedule or initialStep/,
    );
    for (const wrong of ['visits', gradientNorms, {}, true] as unknown as AdaptiveSampling[]) {
      expect(await message({adaptive: wrong})).to.match(
        /LayerSamplingCallback: adaptive must be null or what a function such as gradientNorms\(\) returns; got/,
      );
    }
    const adaptive = begun(gradientNorms());
    adaptive.draw(0);
    expect(() => adaptive.draw(1)).to.throw(
      /saw no gradient in a period; it needs an OwLoreOptimizer/,
    );
    const late = begun(renewedScores(() => Promise.resolve(scores), {every: 1}));
    late.draw(0);
    expect(() => late.draw(1)).to.throw(
      /the scores for period 1 are missing; .*prepare\(model, 1\)/,
    );
    const early = renewedScores(() => Promise.resolve(scores), {every: 1});
    expect(await rejection(early.prepare!(modelOf(), 3))).to.match(
      /comes before .* the first period/,
    );
    // what was computed for the training before is not that of this one
    const again = renewedScores(() => Promise.resolve(scores), {every: 1});
    begun(again).draw(0);
    await again.prepare!(modelOf(), 1);
    begun(again).draw(0);
    expect(() => again.draw(1)).to.throw(/the scores for period 1 are missing/);
    const foreign = begun(
      renewedScores(() => Promise.resolve({blocks: [...blocks, 'five'], scores: [1, 1, 1, 1, 1]}), {
        every: 1,
      }),
    );
    foreign.draw(0);
    expect(await rejection(foreign.prepare!(modelOf(), 1))).to.match(
      /scores have a block 'five'; .* the model has one, two, three, four;/,
    );
    const none = begun(renewedScores(() => Promise.resolve([0, 0, 0, 0]), {every: 1}));
    none.draw(0);
    expect(await rejection(none.prepare!(modelOf(), 1))).to.match(
      /renewedScores: every score for period 1 is 0, .* smaller tau/,
    );
    const right = adaptive.getState();
    for (const state of [
      ...[undefined, {kind: 'bandit'}, {kind: 'gradientNorms', periods: 1.5}],
      ...[
        {...right, norms: {one: 'x'}},
        {...right, visits: []},
        {...right, current: null},
      ],
      ...[
        {...right, probabilities: {blocks}},
        {...right, periods: -1},
      ],
    ]) {
      expect(() => gradientNorms().setState(state)).to.throw(
        /must be that of another gradientNorms/,
      );
    }
    expect(() => bandit({learningRate: 0})).to.throw(
      /bandit: learningRate must be a number > 0; got 0/,
    );
    expect(() => bandit({exploration: 2})).to.throw(/bandit: exploration must be/);
    expect(() => renewedScores(() => Promise.resolve(scores), {every: 0})).to.throw(
      /every must be/,
    );
    expect(() => bandit({rate: 1} as object)).to.throw(/bandit: unknown option 'rate'/);
  });
});
