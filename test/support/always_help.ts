import {ThreadPool} from '../../src/kernels/wasm/thread_pool';

/** Has workers of wasm kernels help with all calls that are cut, also where other programs want the processors. */
export function alwaysHelp(): void {
  ThreadPool.prototype.isToHelp = function (this: ThreadPool) {
    return this.threads > 1;
  };
}
