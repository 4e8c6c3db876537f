import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import {
  basisShape,
  planProjection,
  projectedShape,
  Projections,
  stateSize,
} from '../../src/optim/projector';
import type {Side} from '../../src/kernels/kernel_names';
import {OwLoreOptimizer} from '../../src/owlore_optimizer';

describe('projector', () => {
  it('auto takes the side with the smaller state, paper the smaller dimension', () => {
    // [m, n], auto (optax), paper (GaLore on [in, out] kernels).
    const cases: Array<[number, number, Side, Side]> = [
      [64, 256, 'right', 'left'],
      [256, 64, 'left', 'right'],
      [64, 64, 'left', 'left'],
    ];
    for (const [m, n, auto, paper] of cases) {
      expect(planProjection([m, n], 4, 'auto')?.side, `auto ${m}×${n}`).to.equal(auto);
      expect(planProjection([m, n], 4, 'paper')?.side, `paper ${m}×${n}`).to.equal(paper);
    }
  });

  it('reshapes kernels of more axes to [everything else, last axis] and leaves vectors alone', () => {
    expect(planProjection([3, 3, 8, 32], 4, 'left')).to.deep.equal({
      rows: 72,
      columns: 32,
      rank: 4,
      side: 'left',
    });
    expect(planProjection([128], 4, 'auto')).to.equal(null);
    expect(planProjection([], 4, 'auto')).to.equal(null);
  });

  it('projects where both dimensions are above the rank and the state gets smaller, and nowhere else', () => {
    fc.assert(
      fc.property(
        fc.integer({min: 1, max: 300}),
        fc.integer({min: 1, max: 300}),
        fc.integer({min: 1, max: 300}),
        fc.constantFrom('auto', 'paper', 'left', 'right'),
        (m, n, rank, side) => {
          const [left, right] = [rank * (m + 2 * n), rank * (n + 2 * m)];
          const state = {left, right, auto: Math.min(left, right), paper: Math.max(left, right)}[
            side
          ];
          const isWorth = rank < m && rank < n && state < 2 * m * n;
          const projection = planProjection([m, n], rank, side);
          expect(projection !== null).to.equal(isWorth);
          if (!projection) return;
          const [[p, r], [a, b]] = [basisShape(projection), projectedShape(projection)];
          expect(stateSize(projection))
            .to.equal(p * r + 2 * a * b)
            .and.to.equal(state);
          expect(projection.rank).to.equal(rank);
        },
      ),
    );
  });

  it('leaves a matrix alone whose state would be as large with the projection', () => {
    // 2·(3 + 2·3) numbers, and 2·9
    expect(planProjection([3, 3], 2, 'left')).to.equal(null);
    expect(planProjection([4, 4], 2, 'left')).not.to.equal(null);
    expect(planProjection([2, 9], 2, 'right')).to.equal(null);
    expect(planProjection([9, 2], 2, 'left')).to.equal(null);
  });

  it('asks a function once whether a variable is projected, and anew with other blocks', () => {
    const asked: string[] = [];
    const projections = new Projections({
      ...{rank: 1, side: 'left'},
      project: ({name}) => asked.push(name) > 0,
    });
    const variables = [
      {name: 'a', shape: [4, 4]},
      {name: 'b', shape: [5, 4]},
    ];
    for (let i = 0; i < 2; i++) {
      expect(variables.map((each) => projections.of(each)?.rows)).to.deep.equal([4, 5]);
    }
    expect(asked.splice(0)).to.deep.equal(['a', 'b']);
    projections.setBlocks(null);
    projections.of(variables[0]!);
    expect(asked).to.deep.equal(['a']);
    // not of what is no matrix
    projections.of({name: 'c', shape: [4]});
    expect(asked).to.deep.equal(['a']);
  });

  it('goes by the blocks of the last plan', async () => {
    const shapes = {embed: [6, 8], body: [5, 7]};
    const variables = Object.entries(shapes).map(([name, shape]) =>
      tf.tidy(() => tf.variable(tf.ones(shape), true, `planned/${name}`)),
    );
    const optimizer = new OwLoreOptimizer({rank: 1});
    /** The shapes of the first moments after a first step. */
    const moments = async (): Promise<number[][]> => {
      optimizer.dispose();
      tf.tidy(() =>
        optimizer.applyGradients(
          variables.map(({name, shape}) => ({name, tensor: tf.ones(shape)})),
        ),
      );
      const saved = await optimizer.getWeights();
      return variables.map(
        ({name}) => saved.find((each) => each.name === `${name}/owlore.moment1`)!.tensor.shape,
      );
    };
    expect(await moments()).to.deep.equal([shapes.embed, [1, 7]]);
    optimizer.setSamplingPlan({
      ...{blockVariables: new Set(['planned/embed']), frozenVariables: new Set()},
      onRefresh: () => undefined,
    });
    expect(await moments()).to.deep.equal([[1, 8], shapes.body]);
    optimizer.setSamplingPlan(null);
    expect(await moments()).to.deep.equal([shapes.embed, [1, 7]]);
    optimizer.dispose();
    tf.dispose(variables);
  });
});
