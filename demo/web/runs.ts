/** Earlier runs in this browser's storage. */
import {byId, element} from './dom';
import {deleteButton} from './delete_button';
import {deleteRun, listRuns, type RunSummary} from './library';
import {canBeOpened, goOnLabel, titleOf} from './run_words';
import {bytesText, runLossText, timeText} from './words';

const states = {
  here: 'the run above',
  running: 'open in another tab',
  paused: 'paused',
  stopped: 'stopped',
  interrupted: 'broken off',
  done: 'done',
} as const;

export class Runs {
  /** The name of the run that this page has open, if any. */
  current: string | null = null;

  /**
   * @param open Opens a run, which trains on if it has steps left, unless that is not wanted.
   * @param onDelete Called with the name of one that is no more.
   */
  constructor(
    private readonly open: (run: RunSummary, options?: {train: boolean}) => void,
    private readonly onDelete: (name: string) => void,
  ) {}

  /** Reads the list anew, and returns it. */
  async refresh(): Promise<RunSummary[]> {
    const runs = await listRuns();
    runs.sort((a, b) => b.changed - a.changed);
    byId('runs').replaceChildren(...runs.map((run) => this.item(run)));
    const bytes = runs.reduce((sum, run) => sum + run.bytes, 0);
    byId('runs-note').textContent =
      runs.length === 0
        ? 'Runs are kept in this browser. A closed tab goes on from its last checkpoint.'
        : `${bytesText(bytes)} in this browser.`;
    return runs;
  }

  set isLocked(isLocked: boolean) {
    for (const button of byId('runs').querySelectorAll('button')) button.disabled = isLocked;
  }

  private item(run: RunSummary): HTMLElement {
    const {step, steps} = run;
    const state = run.name === this.current ? 'here' : run.state;
    const isHeld = state === 'here' || state === 'running';
    const title = titleOf(run);
    const button = (label: string, act: () => void): HTMLButtonElement => {
      const made = element('button', {type: 'button', textContent: label, hidden: isHeld});
      made.setAttribute('aria-label', `${label}: ${title}`);
      made.addEventListener('click', act);
      return made;
    };
    // of one that is done, what its tab may not have measured any more, is
    const train = run.state === 'done';
    const opens = canBeOpened(run) ? [button('Open', () => this.open(run, {train}))] : [];
    const goesOn = run.state === 'done' ? [] : [button(goOnLabel(run), () => this.open(run))];
    const remove = deleteButton(title, async () => {
      await deleteRun(run.name);
      this.onDelete(run.name);
      await this.refresh();
    });
    remove.hidden = isHeld;
    const loss = runLossText(run);
    return element(
      'li',
      {},
      element('span', {className: 'name', textContent: title}),
      element('span', {
        className: 'small',
        textContent: [
          states[state],
          `step ${step} of ${steps}`,
          ...(loss === null ? [] : [loss]),
          bytesText(run.bytes),
          timeText(run.changed),
        ].join(' · '),
      }),
      element('span', {className: 'buttons'}, ...opens, ...goesOn, remove),
    );
  }
}
