import {expect} from 'chai';
import {nextTurn} from '../../src/common/next_turn';

describe('nextTurn', () => {
  /** Whether a timer and a message come while a loop gives turns. */
  async function othersCome(): Promise<boolean> {
    const {port1, port2} = new MessageChannel();
    const came = {timer: false, message: false};
    setTimeout(() => (came.timer = true));
    port1.onmessage = () => {
      came.message = true;
      port1.close();
    };
    port2.postMessage(null);
    const end = performance.now() + 2000;
    while (!(came.timer && came.message) && performance.now() < end) await nextTurn();
    return came.timer && came.message;
  }

  /** Runs `body` where globals are not there, as they are not elsewhere. */
  async function without<T>(names: readonly string[], body: () => Promise<T>): Promise<T> {
    const own = names.map((name) => Object.getOwnPropertyDescriptor(globalThis, name)!);
    for (const name of names)
      Object.defineProperty(globalThis, name, {value: undefined, configurable: true});
    try {
      return await body();
    } finally {
      names.forEach((name, i) => Object.defineProperty(globalThis, name, own[i]!));
    }
  }

  it('lets timers and messages come in Node', async () => {
    expect(await othersCome()).to.equal(true);
  });

  it('lets timers and messages come in a browser', async () => {
    expect(await without(['setImmediate'], othersCome)).to.equal(true);
  });

  it('takes a turn where there are timers alone', async () => {
    let came = false;
    setTimeout(() => (came = true));
    await without(['setImmediate', 'MessageChannel'], nextTurn);
    expect(came).to.equal(true);
  });
});
