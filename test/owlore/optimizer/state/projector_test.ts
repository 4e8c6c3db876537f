import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import {
  basisShape,
  planProjection,
  project,
  projectedShape,
  Projections,
  stateSize,
  type ProjectionOptions,
} from '../../../../src/owlore/optimizer/state/projector';
import {installKernels, uninstallKernels} from '../../../../src/kernels/cpu';
import {OwLoreProject, type Side} from '../../../../src/kernels/kernel_names';
import {forgetLines} from '../../../../src/common/say_once';
import {backends, defaultBackend} from '../../../support/backends';
import {calledKernels} from '../../../support/called_kernels';
import {captureInfo} from '../../../support/warnings';
import {OwLoreOptimizer} from '../../../../src/owlore/owlore_optimizer';

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

  it('takes the product of a kernel as it is', async function () {
    if (!backends.includes('cpu')) this.skip();
    await tf.setBackend('cpu');
    const projection = planProjection([6, 9], 2, 'left')!;
    const [gradient, basis] = [tf.ones<tf.Rank.R2>([6, 9]), tf.ones<tf.Rank.R2>([6, 2])];
    await installKernels();
    const called = await calledKernels(() => project(gradient, basis, projection).dispose());
    uninstallKernels();
    expect(called).to.deep.equal([OwLoreProject]);
    tf.dispose([gradient, basis]);
    await tf.setBackend(defaultBackend);
  });

  for (const [name, isProjected] of [
    ['depthwise_kernel', false],
    ['conv/depthwise_kernel', false],
    ['conv/depthwise_kernel_12', false],
    ['conv/depthwise_kernel_scale', true],
    ['conv/my_depthwise_kernel', true],
    ['conv/kernel', true],
    ['Embedding/embeddings', false],
  ] as const) {
    it(`${isProjected ? 'projects' : 'leaves alone'} a matrix called ${name}`, () => {
      const projections = new Projections({rank: 1, side: 'left', project: 'auto'});
      expect(projections.of({name, shape: [9, 9]}) !== null).to.equal(isProjected);
    });
  }

  describe('says once', () => {
    const variables: tf.Variable[] = [];
    afterEach(() => tf.dispose(variables.splice(0)));
    const variableOf = (name: string, shape: number[]): tf.Variable => {
      const variable = tf.tidy(() => tf.variable(tf.ones(shape), true, `said/${name}`));
      variables.push(variable);
      return variable;
    };
    /** What is said in some steps of these variables, in the order of the steps. */
    const linesOf = async (
      project: ProjectionOptions['project'],
      steps: tf.Variable[][],
      {blocks = null as string[] | null, asked = [true]} = {},
    ): Promise<string[]> => {
      const projections = new Projections({rank: 4, side: 'left', project}, ...asked);
      if (blocks) projections.setBlocks(new Set(blocks.map((name) => `said/${name}`)));
      const {lines} = await captureInfo(() =>
        steps.forEach((step) => {
          projections.summarizeOnce(step);
        }),
      );
      return lines;
    };

    it('how many matrices of a step are too small', async () => {
      const [large, small, bias] = [
        variableOf('large', [9, 9]),
        variableOf('small', [4, 9]),
        variableOf('bias', [9]),
      ];
      const line = 'OwLoreOptimizer: projects 1 of 2 matrices; the others are too small for rank 4';
      expect(await linesOf('auto', [[large, small, bias]])).to.deep.equal([line]);
      forgetLines();
      // the first step tells
      expect(await linesOf('auto', [[large], [large, small]])).to.deep.equal([]);
      expect(await linesOf('auto', [[large, small]], {asked: []})).to.deep.equal([]);
      expect(await linesOf(false, [[large, small]])).to.deep.equal([]);
    });

    it('how many of all blocks, also of those that are off', async () => {
      const [a, b] = [variableOf('a', [9, 9]), variableOf('b', [4, 4])];
      variableOf('c', [3, 9]);
      const outside = variableOf('d', [2, 2]);
      expect(
        await linesOf('auto', [[a, outside]], {blocks: ['a', 'b', 'c', 'gone']}),
      ).to.deep.equal([
        'OwLoreOptimizer: projects 1 of 3 matrices; the others are too small for rank 4',
      ]);
      expect(await linesOf('auto', [[b]], {blocks: ['b']})).to.deep.equal([
        'OwLoreOptimizer: no matrix is large enough for rank 4: all are updated as by AdamW',
      ]);
    });

    it('which of those that were picked are too small, four by name', async () => {
      const small = ['e', 'f', 'g', 'h', 'i', 'j'].map((name) => variableOf(name, [2, 3]));
      const line = (count: number): string =>
        `OwLoreOptimizer: projects 0 of ${count} matrices; too small for rank 4: said/e [2,3], said/f [2,3], said/g [2,3], ` +
        `said/h [2,3]${count > 4 ? ` and ${count - 4} more` : ''}`;
      for (const count of [4, 5, 6]) {
        expect(await linesOf(/said/, [small.slice(0, count)])).to.deep.equal([line(count)]);
      }
    });
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
