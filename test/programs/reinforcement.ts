/** Programs that learn by what they do: gradients and optimizer called by hand. */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {around, normal, numberOf, numbers, times} from './data';
import type {Program} from './program';

const {dense} = tfl.layers;

const field = 4;
const discount = 0.5;

/** A field with a one where the player is, [states, 4, 4, 1]. */
function fieldsOf(places: readonly number[]): tf.Tensor4D {
  return tf.tidy(() =>
    tf.reshape(tf.cast(tf.oneHot(tf.tensor1d([...places], 'int32'), field * field), 'float32'), [
      -1,
      field,
      field,
      1,
    ]),
  );
}

/** Where a move leads: up, right, down or left; into a wall: nowhere. Nearer to the last corner is better; there the game ends. */
function move(place: number, action: number): {next: number; reward: number; done: boolean} {
  const [row, column] = [Math.floor(place / field), place % field];
  const inside = (i: number): number => Math.max(0, Math.min(field - 1, i));
  const [nextRow, nextColumn] = [
    inside(row + [-1, 0, 1, 0][action]!),
    inside(column + [0, 1, 0, -1][action]!),
  ];
  const nearer = nextRow + nextColumn - row - column;
  const next = nextRow * field + nextColumn;
  return {next, reward: nearer, done: next === field * field - 1};
}

/** What moves are worth, Q*(s, a), by value iteration. */
function solve(): number[][] {
  let worths = times(field * field, () => [0, 0, 0, 0]);
  for (let i = 0; i < 30; i++) {
    worths = worths.map((_, place) =>
      times(4, (action) => {
        const {next, reward, done} = move(place, action);
        return reward + (done ? 0 : discount * Math.max(...worths[next]!));
      }),
    );
  }
  return worths.slice(0, -1);
}

function createNetwork(): tfl.LayersModel {
  return tfl.sequential({
    layers: [
      tfl.layers.conv2d({
        filters: 8,
        kernelSize: 2,
        activation: 'relu',
        inputShape: [field, field, 1],
      }),
      tfl.layers.batchNormalization({momentum: 0.8}),
      tfl.layers.conv2d({filters: 8, kernelSize: 2, activation: 'relu'}),
      tfl.layers.flatten(),
      dense({units: 24, activation: 'relu'}),
      tfl.layers.dropout({rate: 0.05}),
      dense({units: 4}),
    ],
  });
}

const deepQ: Program = {
  title: 'deep Q-learning with a target network',
  uses: 'variableGrads of all variables, applyGradients, setWeights from a network to one that is frozen',
  margins: {optimizer: 0.1, sampling: 0.5},
  async run(trainer) {
    const online = createNetwork();
    const target = createNetwork();
    target.trainable = false;
    const copy = (): void => {
      // tfjs lists weights that are not trainable last.
      target.trainable = true;
      target.setWeights(online.getWeights());
      target.trainable = false;
    };
    copy();
    const random = numbers(1);
    const all = times(field * field - 1, (place) => place);
    const error = (): Promise<number> =>
      numberOf(
        tf.tidy(() => {
          const values = online.predict(fieldsOf(all)) as tf.Tensor2D;
          return tf.mean(tf.abs(tf.sub(values, tf.tensor2d(solve()))));
        }),
      );
    const same = (): Promise<number> =>
      numberOf(
        tf.tidy(() => {
          const fields = fieldsOf(all);
          const difference = tf.sub(
            online.predict(fields) as tf.Tensor,
            target.predict(fields) as tf.Tensor,
          );
          return tf.max(tf.abs(difference));
        }),
      );
    const optimizer = trainer.optimizer(0.01);
    const loop = trainer.loop(online, optimizer);
    const outcome = await around(error, async () => {
      for (let step = 0; step < 60; step++) {
        const places = times(24, () => Math.floor(random() * all.length));
        const actions = places.map(() => Math.floor(random() * 4));
        const moves = places.map((place, i) => move(place, actions[i]!));
        const loss = (): tf.Scalar =>
          tf.tidy(() => {
            const values = online.apply(fieldsOf(places), {training: true}) as tf.Tensor2D;
            const taken = tf.sum(tf.mul(values, tf.oneHot(tf.tensor1d(actions, 'int32'), 4)), -1);
            const following = target.predict(fieldsOf(moves.map(({next}) => next))) as tf.Tensor2D;
            const best = tf.mul(
              tf.max(following, -1),
              moves.map(({done}) => (done ? 0 : discount)),
            );
            const goal = tf.add(
              moves.map(({reward}) => reward),
              best,
            );
            return tf.losses.meanSquaredError(goal, taken);
          });
        loop.step();
        const {value, grads} = tf.variableGrads(loss);
        optimizer.applyGradients(grads);
        loop.stepped();
        tf.dispose([value, grads]);
        if (step % 5 === 4) {
          copy();
          if ((await same()) > 1e-5) throw new Error('the target network is not the online one');
        }
        await trainer.round();
      }
    });
    loop.restore();
    online.dispose();
    target.dispose();
    return outcome;
  },
};

const longest = 25;

/** A pole on a cart: [place, speed, angle, turn]. */
class Pole {
  state: number[];

  constructor(random: () => number) {
    this.state = times(4, () => 0.1 * normal(random));
  }

  /** Pushes to the left or right for a moment; returns whether the pole still stands. */
  push(left: boolean): boolean {
    let [place, speed, angle, turn] = this.state as [number, number, number, number];
    const force = left ? -1 : 1;
    const dt = 0.1;
    place += dt * speed;
    speed += dt * force;
    angle += dt * turn;
    turn += dt * (6 * Math.sin(angle) - 2 * force * Math.cos(angle));
    this.state = [place, speed, angle, turn];
    return Math.abs(place) < 2 && Math.abs(angle) < 0.5;
  }
}

const policyGradients: Program = {
  title: 'policy gradients for a pole on a cart',
  uses: 'variableGrads at each move, gradients scaled and averaged, applyGradients',
  // A move that rounding changes changes the game.
  margins: {optimizer: 0.5, sampling: 0.8},
  async run(trainer) {
    const network = tfl.sequential({
      layers: [
        dense({units: 8, activation: 'elu', inputShape: [4]}),
        dense({units: 8, activation: 'elu'}),
        dense({units: 1}),
      ],
    });
    const random = numbers(2);
    const starts = numbers(3);
    const variables = network.trainableWeights.map((weight) => weight.read() as tf.Variable);
    /** How many of the moves of a few games are missing because the pole fell. */
    const missing = async (): Promise<number> => {
      const begins = numbers(4);
      let games = times(12, () => new Pole(begins));
      let left = 0;
      for (let i = 0; i < longest; i++) {
        if (games.length === 0) break;
        const logits = tf.tidy(
          () => network.predict(tf.tensor2d(games.map(({state}) => state))) as tf.Tensor,
        );
        const values = await logits.data();
        logits.dispose();
        const before = games;
        games = before.filter((game, g) => game.push(values[g]! > 0));
        left += games.length;
      }
      return 12 * longest - left;
    };
    const optimizer = trainer.optimizer(0.05);
    const loop = trainer.loop(network, optimizer);
    const outcome = await around(missing, async () => {
      for (let round = 0; round < 8; round++) {
        loop.step();
        const moves: Array<{grads: tf.NamedTensorMap; reward: number}> = [];
        for (let game = 0; game < 5; game++) {
          const pole = new Pole(starts);
          const first = moves.length;
          let stands = true;
          for (let i = 0; stands && i < longest; i++) {
            const state = tf.tensor2d([pole.state]);
            const leftProbability = await numberOf(
              tf.tidy(() => tf.sigmoid(network.predict(state) as tf.Tensor)),
            );
            const left = random() < leftProbability;
            const {value, grads} = tf.variableGrads(
              () =>
                tf.losses.sigmoidCrossEntropy(
                  [[left ? 1 : 0]],
                  network.predict(state) as tf.Tensor,
                ) as unknown as tf.Scalar,
              variables.filter(({trainable}) => trainable),
            );
            tf.dispose([value, state]);
            stands = pole.push(left);
            moves.push({grads, reward: stands ? 1 : 0});
          }
          // Rewards that come later count less.
          for (let i = moves.length - 2; i >= first; i--) {
            moves[i]!.reward += 0.9 * moves[i + 1]!.reward;
          }
        }
        const mean = moves.reduce((sum, {reward}) => sum + reward, 0) / moves.length;
        const variance =
          moves.reduce((sum, {reward}) => sum + (reward - mean) ** 2, 0) / moves.length;
        const scales = moves.map(({reward}) => (reward - mean) / Math.sqrt(variance + 1e-8));
        tf.tidy(() => {
          const names = Object.keys(moves[0]!.grads);
          const averages = names.map((name) => {
            const scaled = moves.map(({grads}, i) => tf.mul(grads[name]!, scales[i]!));
            return [name, tf.mean(tf.stack(scaled), 0)] as const;
          });
          optimizer.applyGradients(Object.fromEntries(averages));
        });
        loop.stepped();
        tf.dispose(moves.map(({grads}) => grads));
        await trainer.round();
      }
    });
    loop.restore();
    network.dispose();
    return outcome;
  },
};

export const reinforcementPrograms: readonly Program[] = [deepQ, policyGradients];
