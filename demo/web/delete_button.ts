import {byId, element} from './dom';
import {showError} from './notice';

const REALLY = 4000; // ms for which it asks

/** A button that deletes at a second click, for which it asks itself. */
export function deleteButton(what: string, remove: () => Promise<unknown>): HTMLButtonElement {
  const button = element('button', {type: 'button', className: 'plain'});
  const ask = (isSure: boolean) => {
    button.textContent = isSure ? 'Really delete' : 'Delete';
    button.setAttribute('aria-label', `${button.textContent}: ${what}`);
  };
  let timer = 0;
  button.addEventListener('click', () => {
    clearTimeout(timer);
    if (button.textContent === 'Delete') {
      ask(true);
      timer = window.setTimeout(() => ask(false), REALLY);
      return;
    }
    button.disabled = true;
    const list = button.closest('ul')!;
    const at = [...list.children].indexOf(button.closest('li')!);
    remove().then(
      () => {
        // focus goes to what stands in its place
        const next = list.children[Math.min(at, list.children.length - 1)];
        (next?.querySelector<HTMLElement>('button:not([hidden])') ?? byId('runs-title')).focus();
      },
      (error: unknown) => {
        button.disabled = false;
        showError(error);
      },
    );
  });
  ask(false);
  return button;
}
