/** What the worker of a page in a tab tells of its training. */
import {EventEmitter, once} from 'node:events';
import type {SentEvent} from '../../src/worker/messages';

/** Has the page tell of each event of its worker, by a function that the browser's driver puts into it. */
export const WATCH_WORKERS = `
  window.Worker = class extends Worker {
    constructor(...args) {
      super(...args);
      this.addEventListener('message', ({data}) => {
        if (data && 'event' in data) window.tellEvent(JSON.stringify(data));
      });
    }
  };
`;

export type EventOf<Name extends SentEvent['event']> = Extract<SentEvent, {event: Name}>['data'];

export class WorkerEvents {
  /** Events of the worker, in their order. */
  readonly events: SentEvent[] = [];
  private readonly emitter = new EventEmitter();

  /** Takes an event, which is JSON. */
  protected tell(text: string): void {
    this.events.push(JSON.parse(text) as SentEvent);
    this.emitter.emit('event');
  }

  /** The data of the events of a name. */
  of<Name extends SentEvent['event']>(name: Name): EventOf<Name>[] {
    return this.events.filter(({event}) => event === name).map(({data}) => data as EventOf<Name>);
  }

  /** Waits until a step is made. */
  async reaches(step: number, timeout = 60_000): Promise<void> {
    const signal = AbortSignal.timeout(timeout);
    while (!this.of('step').some((event) => event.step >= step)) await this.next(signal);
  }

  /** Waits for the first event of a name. */
  async first<Name extends SentEvent['event']>(
    name: Name,
    timeout = 60_000,
  ): Promise<EventOf<Name>> {
    const signal = AbortSignal.timeout(timeout);
    for (;;) {
      const [event] = this.of(name);
      if (event) return event;
      await this.next(signal);
    }
  }

  /** Waits for another event, or for what may bring one. */
  protected async next(signal: AbortSignal): Promise<void> {
    await once(this.emitter, 'event', {signal});
  }

  /** The losses of steps and on held-out examples that the page knows, by their steps; of a step that was made twice the later one. */
  losses(): {steps: number[]; heldOut: Record<number, number>} {
    const [steps, heldOut]: [number[], Record<number, number>] = [[], {}];
    const add = ({event, data}: Pick<SentEvent, 'event' | 'data'>): void => {
      if (event === 'step')
        steps[(data as EventOf<'step'>).step - 1] = (data as EventOf<'step'>).loss;
      if (event === 'heldOut')
        heldOut[(data as EventOf<'heldOut'>).step] = (data as EventOf<'heldOut'>).loss;
      if (event === 'ready') (data as EventOf<'ready'>).history.forEach(add);
    };
    this.events.forEach(add);
    return {steps, heldOut};
  }
}
