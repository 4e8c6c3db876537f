import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {startMemoryMeter, type MemoryMeter} from '../../src/memory/meter';
import {describeBackends} from '../support/backends';

describeBackends('startMemoryMeter', () => {
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
    const a = tf.zeros([100]);
    const shared = tf.reshape(a, [10, 10]);
    expect(meter.bufferOf(shared)).to.be.an('object').that.equals(meter.bufferOf(a));
    a.dispose();
    expect(meter.current()).to.equal(400);
    const rows = tf.expandDims(shared, 0);
    shared.dispose();
    expect(meter.current()).to.equal(400);
    // tensorflow passes a kernel the shape as a tensor
    expect(meter.peak()).to.be.within(400, 400 + 2 * 4);
    rows.dispose();
    expect(meter.current()).to.equal(0);
  });

  it('tells of each buffer that is made and freed', () => {
    meter.stop();
    const events: Array<[string, number]> = [];
    meter = startMemoryMeter({
      onAllocate: (_, bytes) => events.push(['made', bytes]),
      onFree: (_, bytes) => events.push(['freed', bytes]),
    });
    tf.dispose([tf.zeros([2]), tf.zeros([3])]);
    expect(events).to.deep.equal([
      ['made', 8],
      ['made', 12],
      ['freed', 8],
      ['freed', 12],
    ]);
  });

  it('counts texts as nothing', () => {
    const text = tf.scalar('a text');
    expect([meter.current(), meter.peak()]).to.deep.equal([0, 0]);
    text.dispose();
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
