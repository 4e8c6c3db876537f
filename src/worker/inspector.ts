import type {Inspection} from './events';
import {FineTuningError} from './errors';
import {Link} from './link';
import type {ReadingProgress} from './messages';
import type {FineTuneOptions} from './options';
import {startWorker} from './start_worker';

/** Asks one worker after the other question, the newest of which is answered. */
export class Inspector {
  private link: Link | null = null;
  private newest: AbortController | null = null;

  /**
   * @param end Ends it, as a later question does.
   * @param onProgress Called with how much of the data is read.
   */
  async inspect(
    {worker, ...options}: FineTuneOptions,
    end?: AbortSignal,
    onProgress?: (progress: ReadingProgress) => void,
  ): Promise<Inspection> {
    this.newest?.abort();
    this.newest = new AbortController();
    const signal = AbortSignal.any([this.newest.signal, ...(end ? [end] : [])]);
    this.link ??= new Link(startWorker({worker}), () => undefined);
    try {
      return await this.link.call('inspect', [options], {signal, onProgress});
    } catch (error) {
      // a worker that has ended answers nothing more
      if (error instanceof FineTuningError && error.code === 'worker') this.link = null;
      throw error;
    }
  }
}
