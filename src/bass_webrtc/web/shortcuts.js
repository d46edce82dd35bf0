/** Which keys a page may use as shortcuts. */

/** Whether a key is input for a field or part of a shortcut of the browser. @param {KeyboardEvent} event */
export const isUsedElsewhere = (event) =>
  event.key === undefined || // A form that the browser fills in sends such events.
  event.ctrlKey ||
  event.metaKey ||
  event.altKey ||
  (event.target instanceof HTMLElement && event.target.matches("select, input:not([type=checkbox], [type=range])"));
