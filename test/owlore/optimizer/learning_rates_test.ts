import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {OwLoreOptimizer} from '../../../src/owlore/owlore_optimizer';
import {describeBackends} from '../../support/backends';
import {Comparison, type Tolerance} from '../../support/close';
import {entry, readJson} from '../../support/fixtures';
import {Trajectory} from '../../support/trajectory';

interface RatesCase {
  steps: number;
  lr: number;
  factors: Record<string, number>;
  weightDecay: number;
  tolerance: {after: Tolerance};
}

describeBackends('learningRates', () => {
  it('follows torch.optim.AdamW with a group for each parameter', async () => {
    const fixture = readJson<RatesCase>('variants/learning_rates');
    const trajectory = new Trajectory('variants/learning_rates');
    const nameOf = (variable: string): string => trajectory.variables.get(variable)!.name;
    const optimizer = new OwLoreOptimizer({
      learningRate: fixture.lr,
      learningRates: [
        {variables: [nameOf('embedding')], factor: fixture.factors['embedding']!},
        {variables: /\/bias$/, factor: fixture.factors['bias']!},
        // the first group that picks a variable counts
        {variables: ({name}) => name !== nameOf('kernel'), factor: 7},
      ],
      weightDecay: fixture.weightDecay,
      decay: /./,
      project: false,
    });
    const weights = new Comparison('weights', fixture.tolerance.after);
    for (let step = 0; step < fixture.steps; step++) {
      trajectory.step(optimizer, step);
      for (const [name, weight] of trajectory.variables) {
        const where = `${name} after step ${step + 1}`;
        weights.add(where, await weight.data(), entry(trajectory.get(`after.${name}`), step));
      }
    }
    weights.finish();
    optimizer.dispose();
    trajectory.dispose();
  });

  it('is the same as another rate of a projected matrix, and at 0 leaves it as it is', async () => {
    const start = tf.randomNormal<tf.Rank.R2>([8, 6], 0, 1, 'float32', 1);
    const moved = async (learningRate: number, factor: number): Promise<Float32Array> => {
      const weight = tf.variable(start);
      const optimizer = new OwLoreOptimizer({
        ...{learningRate, rank: 2, weightDecay: 0.1},
        learningRates: [{variables: [weight.name], factor}],
      });
      for (let step = 0; step < 2; step++) {
        optimizer.minimize(() => tf.sum(tf.pow(weight, 3)), false, [weight]);
      }
      const values = await weight.data<'float32'>();
      await optimizer.settled();
      tf.dispose(weight);
      optimizer.dispose();
      return values;
    };
    expect(await moved(0.5, 0.125)).to.deep.equal(await moved(0.0625, 1));
    expect(await moved(0.5, 0)).to.deep.equal(await start.data());
    start.dispose();
  });
});
