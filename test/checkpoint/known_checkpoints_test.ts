import {copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {basename, join, relative} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {resumeCheckpoint, saveCheckpoint} from '../../src/index';
import type {Manifest} from '../../src/checkpoint/manifest';
import {commitCheckpoint} from '../../src/checkpoint/save_checkpoint';
import {runProgram} from '../support/programs';
import {rejection} from '../support/rejection';
import {SmallTraining} from './small_training';

describe('a folder to which trainings save', function () {
  this.timeout(60_000);
  let folder: string;
  const trainings: SmallTraining[] = [];
  beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'owlore-savers-'))));
  afterEach(() => {
    for (const training of trainings.splice(0)) training.dispose();
    rmSync(folder, {recursive: true});
  });

  const newTraining = (): SmallTraining => {
    // not with the weights of those elsewhere, whose checkpoints would have the same names
    const training = new SmallTraining({
      ...{task: 'llama', seed: 2, sampling: {gamma: 1, interval: 2}},
    });
    trainings.push(training);
    return training;
  };
  const save = ({parts}: SmallTraining, target: string): Promise<unknown> =>
    saveCheckpoint(target, parts, {keep: 1});
  /** The numbers of the checkpoints in a folder. */
  const numbersIn = (place: string): number[] =>
    readdirSync(place)
      .filter((name) => name.startsWith('checkpoint-'))
      .map((name) => Number(name.split('-')[1]))
      .sort();
  /** Another process goes on from the newest checkpoint until that step, and saves. */
  const trainElsewhere = async (steps: number): Promise<void> => {
    const args = [tf.getBackend(), folder, String(steps)];
    const {code, stderr} = await runProgram('test/checkpoint/resumed_program', args);
    expect(code, stderr).to.equal(0);
  };

  it('is refused where another process saves there, too, and what that one saved stays', async () => {
    const training = newTraining();
    await training.train(1);
    await save(training, folder);
    await trainElsewhere(2);
    const before = readdirSync(folder).sort();
    const {message} = await rejection(save(training, folder));
    expect(message).to.match(
      /^saveCheckpoint: '.*' has the checkpoint checkpoint-000002-\w+\.json, which came there while this training saved to it: another process/,
    );
    expect(readdirSync(folder).sort()).to.deep.equal(before);
    // the ways out
    await save(training, join(folder, 'own'));
    expect((await rejection(save(training, folder))).message).to.equal(message);
    expect((await resumeCheckpoint(folder, training.parts))?.step).to.equal(2);
    await save(training, folder);
    expect((await resumeCheckpoint(folder, newTraining().parts))?.step).to.equal(2);
  });

  it('is refused where another process has begun to save there, too, since this one looked for a checkpoint', async () => {
    const training = newTraining();
    expect(await resumeCheckpoint(folder, training.parts)).to.equal(null);
    await trainElsewhere(1);
    const before = readdirSync(folder).sort();
    const manifest = JSON.parse(
      readFileSync(
        join(
          folder,
          before.find((name) => name.endsWith('.json'))!,
        ),
        'utf8',
      ),
    ) as Manifest;
    const saves = [
      () => save(training, folder),
      // of files that PyTorch has written
      () => commitCheckpoint(folder, training.optimizer, manifest, 1),
    ];
    for (const each of saves)
      expect((await rejection(each())).message).to.match(/another process saves there, too/);
    expect(readdirSync(folder).sort()).to.deep.equal(before);
  });

  it('may be a map, which is refused in the same way', async () => {
    const training = newTraining();
    const files = new Map<string, Uint8Array>();
    await saveCheckpoint(files, training.parts, {keep: 1});
    const [path, bytes] = [...files].find(([name]) => name.endsWith('.json'))!;
    const foreign = path.replace('000001', '000002');
    files.set(foreign, bytes);
    const {message} = await rejection(saveCheckpoint(files, training.parts, {keep: 1}));
    expect(message).to.include(`saveCheckpoint: the map has the checkpoint ${foreign}, which came`);
    expect(files.has(path)).to.equal(true);
  });

  it('keeps what another process has saved and no training has gone on from', async () => {
    await trainElsewhere(1);
    const before = readdirSync(folder);
    const training = newTraining();
    for (let i = 0; i < 3; i++) {
      await training.train(1);
      await save(training, folder);
    }
    const after = readdirSync(folder);
    expect(after).to.include.members(before);
    expect(numbersIn(folder)).to.deep.equal([1, 4]);
    // once it has gone on from there, they are its own
    await resumeCheckpoint(folder, training.parts);
    await save(training, folder);
    expect(numbersIn(folder)).to.deep.equal([5]);
  });

  it('is the same by any path of it', async () => {
    await trainElsewhere(1);
    const training = newTraining();
    await resumeCheckpoint(folder, training.parts);
    for (const path of [
      `${folder}/`,
      relative('.', folder),
      join(folder, '..', basename(folder)),
    ]) {
      await training.train(1);
      await save(training, path);
    }
    expect(numbersIn(folder)).to.deep.equal([4]);
  });

  it('takes a training after another one, in this process or not, and copies put there before', async () => {
    const [first, second] = [newTraining(), newTraining()];
    await first.train(1);
    await save(first, folder);
    await save(second, folder);
    await first.train(1);
    await save(first, folder);
    await trainElsewhere(3);
    const third = newTraining();
    await save(third, folder);
    const copy = join(folder, 'copy');
    mkdirSync(copy);
    for (const name of readdirSync(folder).filter((each) => each !== 'copy'))
      copyFileSync(join(folder, name), join(copy, name));
    await third.train(1);
    await save(third, copy);
    await save(third, folder);
    for (const place of [folder, copy]) {
      expect((await resumeCheckpoint(place, newTraining().parts))?.step).to.equal(1);
      expect(numbersIn(place)).to.deep.equal([4, 6]);
    }
  });
});
