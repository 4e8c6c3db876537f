import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {startMemoryMeter, type MemoryMeter} from '../../demo/memory_meter';

describe('demo: startMemoryMeter', () => {
  let meter: MemoryMeter;
  beforeEach(() => void (meter = startMemoryMeter()));
  afterEach(() => meter.stop());

  it('counts the buffers alive and the most that were', () => {
    const a = tf.zeros([10, 10]);
    const b = tf.zeros([50], 'int32');
    expect([meter.current(), meter.peak()]).to.deep.equal([600, 600]);
    a.dispose();
    expect([meter.current(), meter.peak()]).to.deep.equal([200, 600]);
    meter.reset();
    expect(meter.peak()).to.equal(200);
    b.dispose();
    expect([meter.current(), meter.peak()]).to.deep.equal([0, 200]);
  });

  it('counts a shared buffer once, until its last tensor goes', () => {
    const a = tf.zeros([4]);
    const shared = tf.reshape(a, [2, 2]);
    a.dispose();
    expect([meter.current(), meter.peak()]).to.deep.equal([16, 16]);
    shared.dispose();
    expect(meter.current()).to.equal(0);
  });

  it('sees what lives only inside a tidy', () => {
    const sum = tf.tidy(() => tf.sum(tf.ones([1000])));
    expect(meter.current()).to.equal(4);
    expect(meter.peak()).to.be.at.least(4004);
    sum.dispose();
  });

  it('does not mind tensors from before it, and leaves no trace', () => {
    meter.stop();
    const before = tf.zeros([100]);
    const {trackTensor} = tf.engine();
    const second = startMemoryMeter();
    before.dispose();
    expect(second.current()).to.equal(0);
    second.stop();
    expect(tf.engine().trackTensor).to.equal(trackTensor);
  });
});
