/** What finetune.py tells, an event a line; python/owlore/events.py sends it. */
import {checkModel, type Manifest} from '../../checkpoint/manifest';
import {isObject, parseJsonObject, show} from '../../files/json';
import {checkNumber, countRange} from '../../common/options';
import {checkedEntry, type HeldOutEntry, type StepEntry} from '../training_monitor';

/** An event. */
export type TorchEvent =
  | {
      event: 'begin';
      torch: string;
      processes: number;
      parallel: string;
      backend: string | null;
      device: string;
    }
  | (StepEntry & {stateBytes: number})
  | HeldOutEntry
  | {
      event: 'checkpoint';
      step: number;
      model: Manifest['model'];
      optimizer: Omit<Manifest['optimizer'], 'settings'>;
      stateBytes: number;
    }
  /** There is no room for a file, with the reason of the system; Python waits for a {@link TorchAnswer}. */
  | {event: 'full'; path: string; reason: string}
  | {event: 'stopped'; step: number}
  | {event: 'done'; model: Manifest['model']; skipped: number};

/** Where Python is to write all files of a checkpoint once more: the folder of checkpoints, and that of the job. */
export interface TorchAnswer {
  checkpoints: string;
  folder: string;
}

const OWNER = 'an event of finetune.py';

/**
 * A line as an event, with all of its fields; whether a checkpoint's files make one is seen when it is committed.
 *
 * @throws if it is none.
 */
export function eventIn(line: string): TorchEvent {
  const event = parseJsonObject(OWNER, new TextEncoder().encode(line));
  const check = (name: string, isRight: boolean, what: string): void => {
    if (!isRight) throw new Error(`${OWNER}: ${name} must be ${what}; got ${show(event[name])}`);
  };
  const checkText = (name: string): void => check(name, typeof event[name] === 'string', 'a text');
  const checkCount = (name: string): void => checkNumber(OWNER, name, event[name], countRange);
  switch (event['event']) {
    case 'begin':
      ['torch', 'parallel', 'device'].forEach(checkText);
      if (event['backend'] !== null) checkText('backend');
      checkCount('processes');
      break;
    case 'step':
      checkCount('stateBytes');
      return {...event, ...checkedEntry(OWNER, event)} as TorchEvent;
    case 'heldOut':
      return checkedEntry(OWNER, event) as HeldOutEntry;
    case 'checkpoint':
      ['step', 'stateBytes'].forEach(checkCount);
      checkModel(OWNER, event['model']);
      check('optimizer', isObject(event['optimizer']), 'an object {counters, files}');
      break;
    case 'full':
      ['path', 'reason'].forEach(checkText);
      break;
    case 'stopped':
      checkCount('step');
      break;
    case 'done':
      checkModel(OWNER, event['model']);
      checkCount('skipped');
      break;
    default:
      check('event', false, 'begin, step, heldOut, checkpoint, full, stopped or done');
  }
  // Each field of its kind was looked at above.
  return event as unknown as TorchEvent;
}
